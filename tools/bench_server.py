"""What HTTP, validation, the pipe and server-sent events cost, measured with the scripted engine.

    python tools/bench_server.py [--requests N] [--streams N] [--tokens N]

Prints: latency of short plain answers on one connection, streamed tokens a second in total, and how long
/health takes while 200 clients at once ask a worker that holds 16 jobs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter

BODY = {"model": "scripted", "messages": [{"role": "user", "content": "tick 0"}]}

PROBE = """
import sys, time, urllib.request
for _ in range(400):
    begun = time.perf_counter()
    urllib.request.urlopen(sys.argv[1], timeout=60).read()
    print(time.perf_counter() - begun, flush=True)
    time.sleep(0.01)
"""  # in a process of its own: it must not wait for Python's lock beside the crowd's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=3000)
    options = parser.parse_args()
    command = [sys.executable, "-m", "ominix", "serve", "--scripted", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(server.stdout.readline().split("/v1")[0].rsplit(":", 1)[1])
        latencies(port, options.requests)
        throughput(port, options.streams, options.tokens)
        crowd(port, 200)
    finally:
        server.terminate()
        server.wait()


def latencies(port: int, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = [post(connection, {**BODY, "max_tokens": 1}) for _ in range(requests + 20)][20:]
    ninety_nine = sorted(times)[int(len(times) * 0.99)]
    print(f"plain answer of 1 token, {requests} requests in a row:")
    print(f"  median {statistics.median(times) * 1000:.2f} ms, p99 {ninety_nine * 1000:.2f} ms")


def post(connection: http.client.HTTPConnection, body: dict) -> float:
    begun = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return time.perf_counter() - begun


def throughput(port: int, streams: int, tokens: int) -> None:
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(stream(port, tokens))) for _ in range(streams)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    assert counts == [tokens] * streams, counts
    print(f"{streams} streams of {tokens} tokens:")
    print(f"  {streams * tokens / seconds:.0f} tokens/s in total, {seconds:.2f} s")


def crowd(port: int, clients: int, times: int = 4) -> None:
    """All connect at once, while /health is being asked, and again when all have their answer or refusal."""
    command = [sys.executable, "-c", PROBE, f"http://127.0.0.1:{port}/health"]
    probe = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = [float(probe.stdout.readline())]
    statuses = Counter(status for _ in range(times) for status in burst(port, clients))
    found += map(float, probe.communicate()[0].split())
    assert set(statuses) == {b"200", b"429"}, statuses
    print(f"/health, {len(found)} times while {times} times {clients} clients come at once:")
    print(f"  median {statistics.median(found) * 1000:.0f} ms, slowest {max(found) * 1000:.0f} ms")


def burst(port: int, clients: int) -> list[bytes]:
    """The statuses of so many requests, sent before any answer is read."""
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "tick 0.02"}], "max_tokens": 30})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(clients)]
    for connection in connections:
        connection.sendall(request)
    statuses = []
    for connection in connections:
        with connection, connection.makefile("rb") as answer:
            statuses.append(answer.read().split(None, 2)[1])
    return statuses


def stream(port: int, tokens: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps({**BODY, "max_tokens": tokens, "stream": True}),
        {"Content-Type": "application/json"},
    )
    body = connection.getresponse().read()
    assert body.endswith(b"data: [DONE]\n\n"), body[-200:]
    return body.count(b'"content":"tick')


if __name__ == "__main__":
    main()
