"""What bodies at the limit cost the server process, when they are made to cost most.

Half a MiB of zeros as messages took ten seconds and 900 MiB; the whole 25 MiB would have taken minutes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from serving import MIB, RunningServer

pytestmark = pytest.mark.slow

LIMIT = 25 * MIB
CPU_SECONDS = 5.0  # most take a tenth; a busy machine takes longer for the same
MEMORY_BYTES = 250 * MIB  # beyond what the server had before; the body itself is there two or three times
HEALTH_SECONDS = 5.0
CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
BOUNDARY = "cut-here"
JSON = {"Content-Type": "application/json"}


def filled(before: str, item: str, after: str) -> bytes:
    """A body of the limit's size: as many items as it takes, with commas between."""
    count = (LIMIT - len(before) - len(after) - len(item)) // (len(item) + 1)
    return (before + f"{item}," * count + item + after).encode()


def beside(name: str, opening: str, item: str, closing: str) -> bytes:
    """A chat with one field more that fills the body."""
    return filled(f'{json.dumps(CHAT)[:-1]}, "{name}": {opening}', item, f"{closing}}}")


def told(opening: str, item: str, closing: str) -> bytes:
    """A chat whose messages fill the body."""
    return filled(f'{{"model": "scripted", "messages": [{opening}', item, f"{closing}]}}")


CONTENT = '{"role": "user", "content": '
BODIES = {
    "messages": told("", "0", ""),
    "messages that are none": told("", "{}", ""),
    "messages that are right": told("", CONTENT + '"a"}', ""),
    "parts": told(CONTENT + "[", "0", "]}"),
    "parts that are right": told(CONTENT + "[", '{"type": "text", "text": ""}', "]}"),
    "tool calls": told('{"role": "assistant", "tool_calls": [', "0", "]}"),
    "stop": beside("stop", "[", "0", "]"),
    "stop texts": beside("stop", "[", '""', "]"),
    "bias": beside("logit_bias", "{", '"x":0', "}"),
    "tools": beside("tools", "[", "{}", "]"),
    "unknown": beside("unknown", "[", "[]", "]"),
    "options": beside("chat_template_kwargs", "{", '"a":{}', "}"),
    "deep": b"[" * LIMIT,
    "deep objects": b'{"a":' * (LIMIT // 5),
    "digits": b'{"model": ' + b"9" * (LIMIT - 20) + b"}",
    "fraction": b'{"temperature": 0.' + b"9" * (LIMIT - 30) + b"}",
    "escapes": b'{"model": "' + b"\\u0041" * ((LIMIT - 30) // 6) + b'"}',
    "quotes": b'"",' * (LIMIT // 3),
    "spaces": b" " * LIMIT,
    "numbers": b"1 " * (LIMIT // 2),
    "long numbers": (b"1" * 400 + b" ") * (LIMIT // 401),
    "model": b'{"model": "' + b"m" * (LIMIT - 30) + b'"}',
}


def form(*fields: tuple[str, bytes]) -> bytes:
    head = 'Content-Disposition: form-data; name="{}"\r\n\r\n'
    parts = [f"--{BOUNDARY}\r\n{head.format(name)}".encode() + value + b"\r\n" for name, value in fields]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


FORMS = {
    "keywords": form(*[("keywords[]", b"[" + b"0," * 20_000 + b"0]")] * 300),
    "fields": form(*[("keywords[]", b"a")] * 150_000),
    "names": form(*[(f"n{i}", b"") for i in range(150_000)]),
    "granularities": form(("timestamp_granularities[]", b'"word",' * 1_500_000)),
    "prompt": form(("prompt", b"a" * 12 * MIB)),
    "deep": form(("chunking_strategy", b"[" * 12 * MIB)),
    "server_vad": form(("chunking_strategy", b'{"type":"server_vad",' + b'"a":0,' * 1_500_000 + b'"b":0}')),
}


class Watched:
    """The server process: what a request costs it."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self._process = psutil.Process(server.process.pid)

    @property
    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def cost(self, path: str, body: bytes, kind: str) -> tuple[int, float, int, float]:
        """Status, seconds of processor time, bytes at most beyond those before, longest wait of /health."""
        before, over = self._cpu_seconds(), threading.Event()
        idle_bytes = most = self._process.memory_info().rss
        health_seconds = 0.0

        def watch() -> None:
            nonlocal most
            while not over.wait(0.01):
                most = max(most, self._process.memory_info().rss)

        def ask() -> None:
            nonlocal health_seconds
            while not over.wait(0.05):
                begun = time.monotonic()
                assert self.server.request("GET", "/health")[0] == 200
                health_seconds = max(health_seconds, time.monotonic() - begun)

        threads = [threading.Thread(target=work) for work in (watch, ask)]
        for thread in threads:
            thread.start()
        try:
            status = self.server.request("POST", path, body, {"Content-Type": kind}, timeout=120)[0]
        finally:
            over.set()
            for thread in threads:
                thread.join()
        return status, self._cpu_seconds() - before, most - idle_bytes, health_seconds

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    server = RunningServer(tmp_path_factory.mktemp("home"), "--scripted", "--max-chat-mib", "25")
    assert server.chat("hello")[0] == 200
    yield Watched(server)
    server.stop()


@pytest.mark.parametrize("name", BODIES)
def test_a_wide_chat_costs_little(watched, name):
    cost = watched.cost("/v1/chat/completions", BODIES[name], "application/json")
    check(cost)


@pytest.mark.parametrize("name", FORMS)
def test_a_wide_form_costs_little(watched, name):
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    check(watched.cost("/v1/audio/transcriptions", FORMS[name], kind))


def check(cost: tuple[int, float, int, float]) -> None:
    status, cpu_seconds, more_bytes, health_seconds = cost
    assert 400 <= status < 500
    assert cpu_seconds < CPU_SECONDS
    assert more_bytes < MEMORY_BYTES
    assert health_seconds < HEALTH_SECONDS
    print(f"{status} {cpu_seconds:.2f} s, {more_bytes / MIB:.0f} MiB, /health in {health_seconds:.2f} s")


def test_what_wide_bodies_took_is_given_back(watched):
    """It stayed for good, some 50 MiB for each thread that had one."""
    before = watched.resident_bytes
    for name in ("messages", "parts", "stop", "tools", "unknown") * 3:
        watched.server.request("POST", "/v1/chat/completions", BODIES[name], JSON, timeout=60)
    assert watched.resident_bytes - before < 100 * MIB
