"""What HTTP, validation, the pipe and server-sent events cost, measured with the scripted engine.

    python tools/bench_server.py [--requests N] [--streams N] [--tokens N]

Prints: latency of short plain answers on one connection, streamed tokens a second in total, and how long
/health takes beside 200 clients of which a worker serves eight at a time.
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

BODY = {"model": "scripted", "messages": [{"role": "user", "content": "tick 0"}]}

PROBE = """
import sys, time, urllib.request
for _ in range(100):
    begun = time.perf_counter()
    urllib.request.urlopen(sys.argv[1], timeout=60).read()
    print(time.perf_counter() - begun)
    time.sleep(0.05)
"""  # in a process of its own: it must not wait for Python's lock beside 200 threads


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


def crowd(port: int, clients: int) -> None:
    """A client asks again a second after its answer or refusal, so that all of them stay."""
    served = threading.Event()

    def insist() -> None:
        body = json.dumps({**BODY, "messages": [{"role": "user", "content": "tick 0.02"}], "max_tokens": 50})
        while not served.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
            assert status in (200, 429), status
            connection.close()
            time.sleep(1)

    threads = [threading.Thread(target=insist) for _ in range(clients)]
    for thread in threads:
        thread.start()
    command = [sys.executable, "-c", PROBE, f"http://127.0.0.1:{port}/health"]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    served.set()
    for thread in threads:
        thread.join()
    times = [float(line) for line in found.split()]
    print(f"/health, {len(times)} times beside {clients} clients:")
    print(f"  median {statistics.median(times) * 1000:.0f} ms, slowest {max(times) * 1000:.0f} ms")


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
