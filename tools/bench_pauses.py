"""How long a running answer pauses while others flood the server: the longest gap between two of its tokens.

    python tools/bench_pauses.py MODEL [--home HOME] [--seconds 20]

One client streams an answer. Beside it: nobody; short questions; prompts of thousands of tokens; 8 MiB of
text, too long for the model; wide JSON that no schema takes. Four clients a flood, each as fast as it is
answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

FLOODERS = 4
WORDS = "the quick brown fox jumps over the lazy dog and goes on "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--home")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    home = ["--home", options.home] if options.home else []
    command = [sys.executable, "-m", "ominix", *home, "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(server.stdout.readline().split("/v1")[0].rsplit(":", 1)[1])
        ask(port, body(options.model, "hello", 1))
        floods: dict[str, Callable[[int], bytes] | None] = {
            "nobody": None,
            "short questions": lambda i: body(options.model, f"question {i}", 8),
            "prompts of 20 KB": lambda i: body(options.model, f"{i} {WORDS * 350}", 1),
            "8 MiB of text": lambda i: body(options.model, f"{i} {WORDS * 150_000}", 1),
            "8 MiB of wide JSON": lambda i: b'{"messages":[' + b"0," * (4 << 20) + b"0]}",
        }  # fmt: skip
        print(f"{'beside':20} {'tokens':>7} {'median gap':>11} {'longest':>9} {'floods':>7} statuses")
        for name, flood in floods.items():
            print(f"{name:20} {measured(port, options.model, flood, options.seconds)}", flush=True)
    finally:
        server.terminate()
        server.wait()


def body(model: str, text: str, max_tokens: int, **fields: object) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": max_tokens, **fields}).encode()


def ask(port: int, data: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def measured(port: int, model: str, flood: Callable[[int], bytes] | None, seconds: float) -> str:
    stop = threading.Event()
    statuses: list[int] = []

    def go_on(number: int) -> None:
        while not stop.is_set():
            try:
                statuses.append(ask(port, flood(number)))
            except (OSError, http.client.HTTPException):  # refused while it still sends
                statuses.append(0)
            number += FLOODERS

    threads = [threading.Thread(target=go_on, args=(i,)) for i in range(FLOODERS if flood else 0)]
    for thread in threads:
        thread.start()
    gaps = stream_gaps(port, model, seconds)
    stop.set()
    for thread in threads:
        thread.join()
    counts = ", ".join(f"{status}: {statuses.count(status)}" for status in sorted(set(statuses)))
    pauses = f"{len(gaps):7} {statistics.median(gaps) * 1000:8.0f} ms {max(gaps):7.2f} s"
    return f"{pauses} {len(statuses):7} {counts}"


def stream_gaps(port: int, model: str, seconds: float) -> list[float]:
    """Seconds between the tokens of one answer that is asked for again until the time is over."""
    gaps: list[float] = []
    end = time.monotonic() + seconds
    data = body(model, "Tell me a long story.", 2000, stream=True, logit_bias={"0": -100, "2": -100})
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        connection.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
        answer, last = connection.getresponse(), None
        assert answer.status == 200, answer.read()
        while time.monotonic() < end and (line := answer.readline()):
            if b'"content"' in line:
                now = time.monotonic()
                gaps += [now - last] if last else []
                last = now
        connection.close()
    return gaps


if __name__ == "__main__":
    main()
