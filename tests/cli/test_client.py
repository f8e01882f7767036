"""The client against a server of a few lines, which answers what the test wants."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from ominix.cli.client import Address, Client, ModelState, connected, told
from ominix.errors import ServerError

STREAM = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


class Server:
    """Answers each request with the next of `answers`, in pieces of `step` bytes, and closes."""

    def __init__(self, *answers: bytes, step: int = 1 << 20, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._step = step
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.place = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            connection, _ = self._socket.accept()
            with contextlib.suppress(OSError), connection:
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self.requests.append(_request(connection))
                for at in range(0, len(answer), self._step):
                    connection.sendall(answer[at : at + self._step])
                connection.close()

    def close(self) -> None:
        self._thread.join(10)
        self._socket.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while missing > 0:
        part = connection.recv(65536)
        data, missing = data + part, missing - len(part)
    return data


@contextlib.contextmanager
def answering(*answers: bytes, api_key: str | None = None, step: int = 1 << 20) -> Iterator[tuple]:
    server = Server(*answers, step=step)
    with contextlib.closing(Client(f"http://{server.place}", api_key)) as client:
        yield server, client
    server.close()


def test_messages_and_comments_arrive_whole_however_they_are_cut():
    text = "line\u2028separator \x85 and ü"  # line ends to str.splitlines, not to JSON or events
    body = f': progress 1/2\n\ndata: {{"text": "{text}"}}\n\ndata: [DONE]\n\n'.encode()
    with answering(STREAM + body, step=1) as (_, client):
        assert list(client.events("/x", content=b"")) == ["progress 1/2", {"text": text}]


def test_an_error_within_the_stream_is_the_server_s_sentence():
    body = b'data: {"n": 1}\n\ndata: {"error": {"message": "no more"}}\n\n'
    with answering(STREAM + body) as (_, client):
        events = client.events("/x", content=b"")
        assert next(events) == {"n": 1}
        with pytest.raises(ServerError, match=r"^no more$"):
            next(events)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'HTTP/1.1 413 No\r\nConnection: close\r\n\r\n{"error": {"message": "too large"}}', "^too large$"),
        (b"HTTP/1.1 502 Bad\r\nConnection: close\r\n\r\n<html>", "^HTTP 502$"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", "^HTTP 301$"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata: ", "^no answer from 127.0.0.1:.*closed"),
        (b"nonsense\r\n\r\n", "^no answer from 127.0.0.1:"),
    ],
)
def test_what_goes_wrong_is_one_sentence(answer, reason):
    with answering(answer) as (_, client), pytest.raises(ServerError, match=reason):
        list(client.events("/x", content=b""))


def test_a_server_that_refuses_before_the_upload_is_through_is_heard():
    refusal = b'HTTP/1.1 413 No\r\nConnection: close\r\n\r\n{"error": {"message": "too large"}}'

    class Eager(Server):
        def _serve(self) -> None:
            connection, _ = self._socket.accept()
            connection.recv(1000)
            connection.sendall(refusal)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass

    server = Eager()
    with contextlib.closing(Client(f"http://{server.place}")) as client:
        upload = {"file": ("audio", io.BytesIO(bytes(50 << 20)))}
        with pytest.raises(ServerError, match=r"^too large$"):
            list(client.events("/x", data={}, files=upload))
    server.close()


class Recording(io.BytesIO):
    """Knows how much was read at once."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.most = max(self.most, len(data))
        return data


def test_a_file_is_sent_piece_by_piece_and_with_its_length():
    file = Recording(bytes(range(256)) * 40_000)
    with answering(STREAM) as (server, client):
        list(client.events("/x", data={"language": "ü"}, files={"file": ("audio", file)}))
    (request,) = server.requests
    assert file.getvalue() in request
    assert b"content-length: 10240" in request.lower()
    assert 'name="language"\r\n\r\nü\r\n'.encode() in request
    assert file.most <= 1 << 20


def test_the_first_key_is_sent_and_proxies_for_the_web_are_not_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    alive = STREAM + b'{"status": "ok"}'  # the connection is closed behind it, so it must not be kept
    server = Server(alive, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    host, _, port = server.place.partition(":")
    with connected(tmp_path, Address(None, host, int(port), ("first", "second"))) as client:
        assert client.get("/v1/models") == {}
    server.close()
    assert all(b"Authorization: Bearer first\r\n" in request for request in server.requests)


@pytest.mark.parametrize("form", ["http://{}/v1/", "{}", "{}/v1"])
def test_an_address_may_be_as_the_banner_shows_it_or_bare(form):
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with contextlib.closing(Client(form.format(server.place))) as client:
        client.get("/v1/models")
    server.close()
    assert server.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")


@pytest.mark.parametrize(("key", "said"), [(None, "wants a key"), ("old", "refuses the key")])
def test_a_key_that_lacks_is_asked_for_by_its_flag(key, said):
    refusal = b"HTTP/1.1 401 No\r\nConnection: close\r\n\r\n{}"
    reason = f"{said}: give it with --api-key KEY or in OMINIX_API_KEY"
    with answering(refusal, api_key=key) as (_, client), pytest.raises(ServerError, match=reason):
        client.get("/v1/models")


def test_a_model_is_asked_for_by_any_of_its_names():
    body = b'{"id": "base", "task": "speech", "loaded": true}'
    with answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body) as (server, client):
        assert client.model("owner/name ü") == ModelState("base", "speech", True)
    assert server.requests[0].startswith(b"GET /v1/models/owner/name%20%C3%BC HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "https://:x", "", "http://[::1", "::1"])
def test_what_is_no_address_is_said(url):
    with pytest.raises(ServerError, match="is not an http:// or https:// address"):
        Client(url)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_https_needs_a_certificate_that_is_trusted(monkeypatch, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {certificate}"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = Server(*[b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"status": "ok"}'] * 2, tls=tls)
    address = Address(f"https://{server.place}", "", 0)

    with pytest.raises(ServerError, match=r"https://.*certificate"), connected(tmp_path, address):
        pass
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with connected(tmp_path, address):
        pass
    server.close()


@pytest.mark.parametrize(("number", "advised"), [(errno.EHOSTUNREACH, True), (errno.ECONNREFUSED, False)])
def test_no_route_to_a_host_nearby_names_the_setting_of_a_mac(number, advised):
    error = RuntimeError("no answer")
    error.__cause__ = OSError(number, os.strerror(number))
    assert ("Local Network" in told(error)) == advised
