from __future__ import annotations

import errno
import functools
import json

import falcon
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waitress.adjustments import Adjustments

from ominix.server.endpoints import SMALL_BODY_BYTES, Endpoints
from ominix.server.gate import Gate, Origins
from ominix.server.parser import ABSURD_BYTES, Door, Parser

CHAT = "/v1/chat/completions"
LIMIT, CHAT_LIMIT = 100_000, 60_000


class Resource:
    def on_get(self, req, resp) -> None: ...

    def on_post(self, req, resp) -> None: ...


@functools.cache
def door(keys: tuple[str, ...] = ()) -> Door:
    app = falcon.App()
    for path in ("/", "/health", CHAT, "/v1/models/{model_id:path}", "/v1/audio/transcriptions"):
        app.add_route(path, Resource())
    gate = Gate(keys, (), Origins(()))
    return Door(gate, Origins(()), Endpoints(app, LIMIT, CHAT_LIMIT))


def parsed(data: bytes, piece: int = 8192, keys: tuple[str, ...] = ()) -> Parser:
    adjustments = Adjustments(max_request_header_size=32768, max_request_body_size=ABSURD_BYTES)
    parser = Parser(door(keys), "127.0.0.1", adjustments)
    for at in range(0, len(data), piece):
        rest = data[at : at + piece]
        while rest and not parser.completed:
            rest = rest[parser.received(rest) :]
    return parser


def request(*headers: str, line: str = f"POST {CHAT} HTTP/1.1", body: bytes = b"") -> bytes:
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1") + body


def code(parser: Parser) -> int | None:
    return parser.error and parser.error.code


HOST = "Host: localhost"


@pytest.mark.parametrize("piece", [1, 8192])
def test_a_usual_request_passes(piece):
    parser = parsed(request(HOST, "Content-Length: 5", body=b"hello"), piece)
    assert (parser.completed, parser.error, parser.get_body_stream().read()) == (True, None, b"hello")


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding:", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: " + "9" * 5000],
        ["Content-Length: " + "9" * 30],
        ["Content-Length: +5"],
        ["Content-Length: 5_0"],
    ],
)
def test_a_length_that_two_readers_may_read_differently_is_refused(headers):
    parser = parsed(request(HOST, *headers, body=b"hello"))
    assert (code(parser), parser.is_body_left, parser.completed) == (400, True, True)


def test_a_coding_is_for_http_1_1_alone():
    old = request(HOST, "Transfer-Encoding: chunked", line=f"POST {CHAT} HTTP/1.0")
    assert code(parsed(old)) == 400


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("GET / HTTP/1.1", []),
        ("GET / HTTP/1.1", [HOST, HOST]),
        ("GET / HTTP/1.1", [HOST, "host: evil.example"]),
        ("GET / HTTP/1.1", ["Host: localhost:80@evil.example"]),
        ("GET / HTTP/1.1", ["Host: [::1].evil.example"]),
        ("GET / HTTP/1.1", ["Host: [::1"]),
        ("GET http://evil.example/ HTTP/1.1", [HOST]),
        ("GET http://localhost:81/ HTTP/1.1", [HOST]),
        ("GET http://user@localhost/ HTTP/1.1", [HOST]),
        ("GET http://[::1/x HTTP/1.1", [HOST]),
        ("GET ftp://localhost/ HTTP/1.1", [HOST]),
        ("CONNECT localhost:80 HTTP/1.1", [HOST]),
        ("GET health HTTP/1.1", [HOST]),
        ("GET * HTTP/1.1", [HOST]),
    ],
)
def test_a_request_names_one_host_and_a_path(line, headers):
    assert code(parsed(request(*headers, line=line))) == 400


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("GET / HTTP/1.0", []),
        ("GET http://localhost/health HTTP/1.1", [HOST]),
        ("GET HTTP://LOCALHOST/health HTTP/1.1", [HOST]),
        ("GET //health/ HTTP/1.1", [HOST]),
        ("OPTIONS * HTTP/1.1", [HOST]),
    ],
)
def test_other_right_forms_pass(line, headers):
    assert parsed(request(*headers, line=line)).error is None


@pytest.mark.parametrize(
    ("headers", "keys", "expected"),
    [
        ([HOST], ("one",), 401),
        ([HOST, "Authorization: Bearer two"], ("one",), 401),
        (["Host: evil.example"], (), 403),
        ([HOST, "Origin: null"], (), 403),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 50", "Transfer-Encoding: chunked"])
def test_a_body_of_somebody_who_may_not_call_is_not_stored(headers, keys, expected, length):
    """Five connections without a key put 100 MiB into the temporary folder."""
    parser = parsed(request(*headers, length, "Expect: 100-continue", body=b"x" * 20), keys=keys)
    assert (code(parser), parser.completed, parser.expect_continue) == (expected, True, False)
    assert parser.is_body_left
    parser.received(b"more")
    assert len(parser.body_rcv) == 0


@pytest.mark.parametrize(
    ("path", "length", "expected"),
    [
        (CHAT, CHAT_LIMIT, None),
        (CHAT, CHAT_LIMIT + 1, 413),
        ("/v1/audio/transcriptions", LIMIT, None),
        (CHAT, 10**15, 413),
        ("/v1/audio/transcriptions", 2 * LIMIT, 413),
        ("/v1/models/a/b/load", SMALL_BODY_BYTES, None),
        ("/v1/models/a/b/load", SMALL_BODY_BYTES + 1, 413),
    ],
)
def test_each_endpoint_has_its_limit(path, length, expected):
    parser = parsed(
        request(HOST, f"Content-Length: {length}", "Expect: 100-continue", line=f"POST {path} HTTP/1.1")
    )
    assert code(parser) == expected
    assert parser.expect_continue == (expected is None)
    if expected:
        assert parser.error.answer["error"]["code"] == "request_too_large"


def test_a_chunked_body_has_it_too():
    chunk = b"2710\r\n" + b"x" * 10_000 + b"\r\n"
    head = request(HOST, "Transfer-Encoding: chunked")
    assert parsed(head + 5 * chunk + b"0\r\n\r\n").error is None
    parser = parsed(head + 40 * chunk)
    assert (code(parser), parser.is_body_left) == (413, True)
    assert len(parser.body_rcv) < 2 * LIMIT


@pytest.mark.parametrize(
    "line", ["POST /nothing HTTP/1.1", "PUT /v1/chat/completions HTTP/1.1", "DELETE / HTTP/1.1"]
)
@pytest.mark.parametrize("length", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_body_that_nothing_takes_is_not_read_and_the_app_says_why(line, length):
    parser = parsed(request(HOST, length, "Expect: 100-continue", line=line, body=b"x" * 100))
    assert (parser.completed, parser.error, parser.is_body_left) == (True, None, True)
    assert parser.headers["CONNECTION"] == "close"
    assert parser.get_body_stream().read() == b""


def test_nobody_is_told_to_go_on_without_a_body():
    """waitress made such a request incomplete again, and it was never answered."""
    parser = parsed(request(HOST, "Content-Length: 0", "Expect: 100-continue"))
    assert (parser.completed, parser.expect_continue) == (True, False)


def test_who_has_the_key_is_known():
    line = "GET /health HTTP/1.1"
    assert parsed(request(HOST, "api-key: one", line=line), keys=("one",)).rights.details
    assert not parsed(request(HOST, line=line), keys=("one",)).rights.details


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EMFILE, 503)]
)
def test_a_full_disk_is_said(number, expected):
    parser = parsed(request(HOST, "Content-Length: 50000"))

    class Full:
        def append(self, data: bytes) -> None:
            raise OSError(number, "no room")

        def close(self) -> None: ...

    parser.body_rcv.buf = Full()
    assert parser.received(b"x" * 100) == 100
    assert (code(parser), parser.completed) == (expected, True)


def test_a_refusal_is_in_the_one_shape():
    answer = parsed(request(HOST), keys=("one",)).error.answer
    assert set(json.loads(json.dumps(answer))["error"]) == {"message", "type", "param", "code"}


CHUNKED = b"2;a=b\r\nhi\r\n0\r\nA: b\r\n\r\n"
PIECES = [b"\r\n", b"\n", b":", b"[", b" ", b"\x00", b"9" * 4400, b"//", b"@", b"\xff"]


@st.composite
def torn_requests(draw) -> bytes:
    data = draw(
        st.sampled_from(
            [
                request(HOST, "Content-Length: 5", "Authorization: Bearer one", body=b"hello"),
                request(HOST, "Transfer-Encoding: chunked", "Expect: 100-continue", body=CHUNKED),
                request("Host: [::1]:80", "Origin: null", line="GET http://[::1]:80/health?a#b HTTP/1.1"),
            ]
        )
    )
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(0, 20))
        piece = draw(st.binary(max_size=6) | st.sampled_from(PIECES))
        data = data[:at] + piece + data[at + length :]
    return data


@given(torn_requests(), st.sampled_from([7, 8192]))
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_fail(data, piece):
    """What raises here is a connection that is closed without an answer, and a traceback in the log."""
    parser = parsed(data, piece)
    assert parser.error is None or 400 <= parser.error.code < 600
    assert not (parser.error and parser.expect_continue)
