"""What no client library sends: bytes on sockets, whole, torn, slow or wrong."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from serving import Clients, eventually

HELLO = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
SAID = b'"hello0 hello1 hello2 "'
SECONDS = 10.0
EXAMPLES = 3 * int(os.environ.get("OMINIX_CONTRACT_EXAMPLES", "40"))
pytestmark = pytest.mark.xdist_group("sockets")


def post(path: str, body: bytes, *headers: str, media_type: str = "application/json") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chat(**fields) -> bytes:
    body = json.dumps({**HELLO, **fields}).encode()
    return post("/v1/chat/completions", body, f"Content-Length: {len(body)}")


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of so many answers, one after another."""
    file, found = connection.makefile("rb"), []
    while len(found) < count:
        status = int(file.readline().split()[1])
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status != 100:
            found.append((status, headers, file.read(int(headers["content-length"]))))
    return found


def to_the_end(connection: socket.socket) -> bytes:
    """Everything until the server closes; fails if it does not."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


@pytest.mark.contract("transport.slow-clients")
def test_a_request_that_comes_byte_by_byte_is_answered(shared_server):
    with connect(shared_server) as connection:
        for byte in chat():
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        ((status, _, body),) = answers(connection, 1)
    assert status == 200
    assert SAID in body


@pytest.mark.slow
@pytest.mark.contract("transport.slow-clients")
def test_a_hundred_requests_that_never_end_hold_up_nobody(serve):
    server = serve("--scripted")
    server.chat("hello")
    held = [connect(server) for _ in range(100)]
    for index, connection in enumerate(held):
        request = chat()
        connection.sendall(request[: (index % 10 + 1) * len(request) // 11])
    begun = time.monotonic()
    assert server.chat("hello")[0] == 200
    assert server.request("GET", "/health")[0] == 200
    assert time.monotonic() - begun < 2
    for connection in held:
        connection.close()
    assert server.chat("hello")[0] == 200


@pytest.mark.contract("transport.slow-clients")
def test_pipelined_requests_are_answered_in_their_order(shared_server):
    with connect(shared_server) as connection:
        connection.sendall(
            b"".join(chat(max_tokens=n) for n in (1, 2, 3)) + b"GET /livez HTTP/1.1\r\nHost: a.local\r\n\r\n"
        )
        found = answers(connection, 4)
    assert [status for status, _, _ in found] == [200] * 4
    counts = [json.loads(body)["usage"]["completion_tokens"] for _, _, body in found[:3]]
    assert counts == [1, 2, 3]
    assert len({headers["x-request-id"] for _, headers, _ in found}) == 4


@pytest.mark.contract("transport.slow-clients", "leaving.stops")
@pytest.mark.parametrize("prompt", ["hello", "sleep 30"])
def test_a_client_that_ends_its_side_counts_as_gone_or_is_answered(shared_server, prompt):
    """TCP does not tell the two apart. Either way the connection ends soon and no work goes on."""
    with connect(shared_server) as connection:
        connection.sendall(chat(messages=[{"role": "user", "content": prompt}]))
        connection.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        received = to_the_end(connection)
    assert time.monotonic() - begun < 2
    assert not received or SAID in received
    assert eventually(lambda: shared_server.jobs() == 0, 2)


@pytest.mark.slow
@pytest.mark.contract("transport.slow-clients")
def test_a_stream_that_is_read_slowly_is_whole(shared_server):
    words = " ".join(f"w{n}" for n in range(300))
    with connect(shared_server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        said = [{"role": "user", "content": f"say {words}"}]
        connection.sendall(chat(messages=said, stream=True, max_tokens=4000))
        received = b""
        while b"[DONE]" not in received:
            received += connection.recv(16384)
            time.sleep(0.002)
    deltas = [json.loads(line[6:]) for line in received.split(b"\n") if line.startswith(b"data: {")]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in deltas)
    assert text == words


def chunked(body: bytes, sizes: Iterator[int] | list[int], extension: bytes = b"") -> bytes:
    parts, at = [], 0
    for size in sizes:
        piece = body[at : at + size]
        at += size
        if piece:
            parts.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
    assert at >= len(body)
    return b"".join(parts) + b"0\r\n\r\n"


@pytest.mark.contract("transport.chunked")
@pytest.mark.parametrize("extension", [b"", b";name=value"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunks_of_any_size(shared_server, size, extension):
    body = json.dumps(HELLO).encode()
    data = chunked(body, [size] * (len(body) // size + 1), extension)
    with connect(shared_server) as connection:
        connection.sendall(post("/v1/chat/completions", data, "Transfer-Encoding: chunked"))
        ((status, _, answer),) = answers(connection, 1)
    assert status == 200
    assert SAID in answer


@pytest.mark.contract("transport.chunked", "transport.too-large")
def test_a_chunked_upload_works_and_is_bounded(serve):
    """As node's client sends files."""
    server = serve("--scripted", "--max-upload-mib", "0.1")
    for size, expected in ((50_000, 200), (150_000, 413)):
        data = chunked(form(b"RIFF" + b"x" * size), [16_384] * (size // 16_384 + 2))
        with connect(server) as connection:
            connection.sendall(upload(data, "Transfer-Encoding: chunked"))
            ((status, _, _),) = answers(connection, 1)
        assert status == expected
    assert eventually(lambda: not server.uploads())


@pytest.mark.contract("transport.continue")
def test_100_continue_asks_for_what_will_be_read(shared_server):
    body = json.dumps(HELLO).encode()
    head = post("/v1/chat/completions", b"", f"Content-Length: {len(body)}", "Expect: 100-continue")
    with connect(shared_server) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        ((status, _, answer),) = answers(connection, 1)
    assert status == 200
    assert SAID in answer


def form(file: bytes, boundary: bytes = b"b") -> bytes:
    fields = {b"model": b"scripted-speech", b"prompt": b"say hello"}
    parts = [b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % pair for pair in fields.items()]
    parts.append(b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + file)
    return b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


def upload(data: bytes, *headers: str, boundary: str = "b") -> bytes:
    media_type = f"multipart/form-data; boundary={boundary}"
    return post("/v1/audio/transcriptions", data, *headers, media_type=media_type)


FILES = st.binary(max_size=3000) | st.just(b"--b\r\n\r\n--b--\r\n") | st.just(b"\r\n--b")
BOUNDARIES = st.sampled_from(["b", "", "B", '"b"', "b ", "bb", "x" * 300, "b; boundary=c", "\x7f"])


@st.composite
def torn_forms(draw) -> bytes:
    """An upload with something wrong, or nothing: a boundary, the length, the framing, some bytes."""
    body = form(draw(FILES))
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(body))), draw(st.integers(0, 40))
        body = body[:at] + draw(st.binary(max_size=8)) + body[at + length :]
    boundary = draw(st.just("b") | BOUNDARIES)
    if draw(st.booleans()):
        data = chunked(body, [draw(st.integers(1, 4000))] * (len(body) + 1))
        if draw(st.booleans()):
            data = data[: draw(st.integers(0, len(data)))] + draw(st.binary(max_size=20))
        return upload(data, "Transfer-Encoding: chunked", "Connection: close", boundary=boundary)
    lie = draw(st.sampled_from([0, 0, -1, 1, 100, -len(body)]))
    length = f"Content-Length: {max(0, len(body) + lie)}"
    return upload(body, length, "Connection: close", boundary=boundary)


@pytest.mark.slow
@pytest.mark.timeout(60 + EXAMPLES)
@pytest.mark.contract("transport.hostile-forms", "transport.error-shape", "transport.no-server-paths")
def test_torn_uploads_end_soon_and_harm_nobody(serve):
    server = serve("--scripted", "--strict")
    server.chat("hello")

    @seed(20260226)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(torn_forms())
    def sent(request: bytes) -> None:
        with connect(server) as connection:
            connection.sendall(request)
            received = whatever_comes(connection)
        for status, body in split(received):
            assert status in (200, 400, 413, 415, 404), received
            if status != 200:
                assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
                assert str(server.home) not in body.decode()

    sent()
    assert server.chat("hello")[0] == 200
    assert eventually(lambda: not server.uploads())
    assert eventually(lambda: server.jobs("scripted-speech") == 0)


def whatever_comes(connection: socket.socket) -> bytes:
    """To the server's end; ours comes first if it waits for more than was sent."""
    if not select.select([connection], [], [], 0.3)[0]:
        connection.shutdown(socket.SHUT_WR)
    return to_the_end(connection)


def split(received: bytes) -> Iterator[tuple[int, bytes]]:
    while received.startswith(b"HTTP/1."):
        head, _, rest = received.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        lengths = [h.split(b":")[1] for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")]
        length = int(lengths[0]) if lengths else 0
        yield status, rest[:length]
        received = rest[length:]
    assert not received, received


@pytest.mark.slow
@pytest.mark.contract("transport.hostile-forms")
def test_uploads_that_stop_halfway_leave_nothing(serve):
    server = serve("--scripted")
    body = form(b"RIFF" + b"x" * 100_000)

    def half(_: int) -> None:
        with connect(server) as connection:
            connection.sendall(upload(body, f"Content-Length: {len(body)}")[: len(body) // 2])

    Clients(20, half).join(10)
    assert server.chat("hello")[0] == 200
    assert eventually(lambda: not server.uploads())
