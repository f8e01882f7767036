"""Fixtures: real pools and real servers, with the scripted engine where no model is needed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import runner_watch
from hub import Hub

from ominix.wire.control import EngineSpec, Loadable
from ominix.wire.events import Delta
from ominix.wire.jobs import ChatJob, Message
from ominix.workers.pool import Pool
from ominix.workers.stream import Stream

MIB = 1 << 20
# The names that mean any real speech model mean the demo model: tests say so, as an operator would.
DEMO_SPEAKS = ("--alias", "whisper-1=tiny-asr", "--alias", "qwen3-asr=tiny-asr")


def scripted(name: str, path: str = "", size_bytes: int = 0) -> Loadable:
    return Loadable(name, size_bytes, EngineSpec("scripted", path))


def chat(prompt: str, max_tokens: int = 3) -> ChatJob:
    return ChatJob(messages=(Message("user", prompt),), max_tokens=max_tokens)


def drain(stream: Stream, seconds: float = 20.0) -> list:
    """All events to the end. Raises the job's error; fails if the end does not come."""
    events = []
    deadline = time.monotonic() + seconds
    while not stream.ended:
        assert time.monotonic() < deadline, "the stream did not end"
        events += stream.get(0.1)
    return events


def text_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def eventually(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(jobs_per_worker=8, stall_seconds=2.0, limit_bytes=150 * MIB)
    yield made
    made.close()


class RunningServer:
    """A real `ominix serve` in a process of its own."""

    def __init__(
        self, home: Path, *flags: str, env: dict[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        """`prefix`: a command that ends in running the server's."""
        self.log_path = home / "server.log"
        self.home = home
        self.temp = home / "temp"
        self.temp.mkdir(exist_ok=True)  # a home may be served again
        begun = time.monotonic()
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *prefix,
                    sys.executable,
                    "-m",
                    "ominix",
                    "--home",
                    str(home),
                    "serve",
                    "--port",
                    "0",
                    *flags,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "TMPDIR": str(self.temp), **(env or {})},
                start_new_session=True,
            )
        runner_watch.started(self.process.pid)
        assert self.process.stdout
        self.banner = [self.process.stdout.readline()]
        if "/v1" not in self.banner[0]:
            raise AssertionError(f"no banner: {self.banner[0]!r} {self.log_path.read_text()}")
        self.port = int(self.banner[0].split("/v1")[0].rsplit(":", 1)[1])
        self.request("GET", "/health")
        self.start_seconds = time.monotonic() - begun

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def request(self, method: str, path: str, body=None, headers=None, timeout: float = 30.0):
        """Status, headers and body (parsed if it is JSON)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            if isinstance(body, dict):
                headers = {"Content-Type": "application/json", **(headers or {})}
                body = json.dumps(body)
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
        is_json = answer.headers.get_content_type() == "application/json" and data
        return answer.status, answer.headers, json.loads(data) if is_json else data

    def chat(self, prompt: str, model: str = "scripted", timeout: float = 30.0, **fields):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}
        return self.request("POST", "/v1/chat/completions", body, timeout=timeout)

    def health(self) -> dict:
        return self.request("GET", "/health")[2]

    def jobs(self, model: str = "scripted") -> int:
        return self.health().get("models", {}).get(model, {"jobs": 0})["jobs"]

    def uploads(self) -> list[str]:
        """Files of the temporary folder that the server or a worker has open; they have no names (Linux)."""
        assert not [path for path in self.temp.iterdir() if path.is_file()]
        found: list[str] = []
        for process in (psutil.Process(self.process.pid), *self.workers()):
            with contextlib.suppress(OSError):  # the process has ended meanwhile
                for link in list(Path(f"/proc/{process.pid}/fd").iterdir()):
                    with contextlib.suppress(OSError):  # the file was closed meanwhile
                        found.append(str(link.readlink()))
        return [target for target in found if target.startswith(str(self.temp))]

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, seconds: float = 20.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.process.wait()
            runner_watch.ended(self.process.pid)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    """Start servers: `serve("--scripted", ...)`. All are stopped at the end."""
    running: list[RunningServer] = []

    def start(
        *flags: str,
        env: dict[str, str] | None = None,
        home: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> RunningServer:
        home = home or tmp_path / f"home{len(running)}"
        home.mkdir(exist_ok=True)
        running.append(RunningServer(home, *flags, env=env, prefix=prefix))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on loopback; children of this process find it and nothing else."""
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def speech_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A strict server with the embedded speech model, for the tests of one module."""
    running = RunningServer(
        tmp_path_factory.mktemp("home"), "--strict", "--preload", "tiny-asr", *DEMO_SPEAKS
    )
    yield running
    running.stop()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One strict server for the tests that leave it as they found it."""
    home = tmp_path_factory.mktemp("home")
    offline = {"HF_HUB_OFFLINE": "1"}  # whatever a test asks for, nothing is downloaded
    server = RunningServer(home, "--scripted", "--strict", "--stall-seconds", "2", env=offline)
    yield server
    server.stop()


class Clients:
    """Threads that each run one function; `join` gives their results."""

    def __init__(self, count: int, call) -> None:
        self.results: list = [None] * count
        self._threads = [
            threading.Thread(target=self._run, args=(index, call), daemon=True) for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, index: int, call) -> None:
        self.results[index] = call(index)

    def join(self, seconds: float) -> list:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        hanging = sum(thread.is_alive() for thread in self._threads)
        assert not hanging, f"{hanging} clients hang"
        return self.results
