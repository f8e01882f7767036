"""Real sockets and a real loop, which the test turns itself; the server's clock is moved by hand."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import socket
import subprocess
import sys
import threading
import time

import falcon
import pytest
from waitress import wasyncore

from ominix.http import access
from ominix.server import channels, connections
from ominix.server.connections import Acceptor
from ominix.server.endpoints import Endpoints
from ominix.server.gate import Gate, Origins
from ominix.server.parser import Door
from ominix.server.threads import Dispatcher

pytestmark = pytest.mark.slow

GET = b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n"
SEND_TIMEOUT = 60.0
UNSENT_MEMORY, UNSENT = 1 << 16, 4 << 20


class Resource:
    """`release` lets a POST end; `left` is set when its answer was given up."""

    def __init__(self) -> None:
        self.release, self.left = threading.Event(), threading.Event()
        self.started = threading.Event()
        self.gone: list[bool] = []

    def on_get(self, req, resp) -> None:
        resp.text = "here"

    def on_post(self, req, resp) -> None:
        self.started.set()
        while not self.release.wait(0.01):
            if req.env["waitress.client_disconnected"]():
                self.gone.append(True)
                return
        resp.text = str(len(req.bounded_stream.read()))

    def on_put(self, req, resp) -> None:
        def stream():
            try:
                while True:
                    yield b"x" * 100_000
            finally:
                self.left.set()

        resp.stream = stream()


class Site:
    def __init__(self, limit: int) -> None:
        self.resource = Resource()
        app = falcon.App()
        app.add_route("/quick", self.resource)
        door = Door(Gate((), (), Origins(())), Origins(()), Endpoints(app, 10 << 20, 10 << 20))
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._map: dict = {}
        self.acceptor = Acceptor(
            access.logged(app),
            door,
            SEND_TIMEOUT,
            map=self._map,
            _sock=listener,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            dispatcher=Dispatcher(4),
            connection_limit=limit,
            channel_request_lookahead=channels.MAX_PIPELINED,
            outbuf_overflow=UNSENT_MEMORY,
            outbuf_high_watermark=UNSENT,
            asyncore_use_poll=True,
        )
        self._clients: list[socket.socket] = []

    def connect(self, sent: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), 10, source_address=(address, 0))
        self._clients.append(client)
        client.sendall(sent)
        self.turn()
        return client

    def turn(self, seconds: float = 0.05) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            wasyncore.loop(timeout=0.01, use_poll=True, map=self._map, count=1)
            self.acceptor.look()

    def until(self, condition, seconds: float = 10.0) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.turn(0.02)
        return bool(condition())

    def later(self, seconds: float) -> None:
        """The loop has run for so long, and looks."""
        self.acceptor.clock += seconds
        self.turn()

    def answer(self, client: socket.socket) -> bytes:
        """What has come until the server closes or falls silent."""
        received = b""
        client.settimeout(0.0)
        quiet = time.monotonic() + 0.5
        while time.monotonic() < quiet:
            self.turn(0.01)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                data = client.recv(1 << 16)
                if not data:
                    return received
                received += data
        return received

    def is_open(self, client: socket.socket) -> bool:
        self.turn()
        client.settimeout(0.0)
        try:
            return client.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False

    @property
    def count(self) -> int:
        return len(self.acceptor.active_channels)

    def close(self) -> None:
        self.resource.release.set()
        for client in self._clients:
            client.close()
        self.turn(0.1)
        self.acceptor.task_dispatcher.shutdown(5)
        wasyncore.close_all(self._map)


@pytest.fixture
def site():
    made: list[Site] = []

    def make(limit: int = 50) -> Site:
        made.append(Site(limit))
        return made[-1]

    yield make
    for one in made:
        one.close()


def post(body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = ["POST /quick HTTP/1.1", "Host: localhost", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_a_connection_that_says_nothing_is_closed(site):
    here = site()
    silent = here.connect()
    here.later(channels.HEADER_SECONDS - 2)
    assert here.is_open(silent)
    here.later(3)
    assert not here.is_open(silent)


def test_headers_have_their_time_and_a_byte_now_and_then_does_not_help(site):
    """1,000 connections with a byte each 20 s kept everybody out for 200 s."""
    here = site()
    slow = here.connect(b"GET /quick HT")
    here.later(channels.HEADER_SECONDS - 2)
    slow.sendall(b"TP/1.1\r\n")
    assert here.is_open(slow)
    here.later(3)
    assert not here.is_open(slow)
    blank = here.connect(b"\r\n\r\n")
    here.later(channels.HEADER_SECONDS - 2)
    blank.sendall(b"\r\n\r\n")
    here.later(3)
    assert not here.is_open(blank)


def test_an_idle_connection_may_ask_again_for_two_minutes(site):
    here = site()
    kept = here.connect(GET)
    assert b"200 OK" in here.answer(kept)
    here.later(channels.IDLE_SECONDS - 5)
    kept.sendall(GET)
    assert b"200 OK" in here.answer(kept)
    here.later(channels.IDLE_SECONDS + 1)
    assert not here.is_open(kept)


def test_a_body_has_to_come_at_a_kib_a_second(site):
    here = site()
    slow, quick = (
        here.connect(post(b"x" * 100, length=200_000)),
        here.connect(post(b"x" * 100, length=200_000)),
    )
    here.later(1)
    here.later(channels.BODY_SECONDS - 5)
    slow.sendall(b"x" * 1000)
    quick.sendall(b"x" * channels.BODY_BYTES)
    here.turn()
    here.later(7)
    answer = here.answer(slow)
    assert b" 408 " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "http_408"
    assert here.is_open(quick)
    here.later(channels.BODY_SECONDS + 2)  # what came once does not count for ever
    assert b" 408 " in here.answer(quick)


def test_nobody_is_late_because_the_server_was_stopped(site):
    here = site()
    silent = here.connect()
    here.acceptor._looked_at -= 3600
    here.turn()
    assert here.is_open(silent)


def test_a_reader_that_takes_nothing_is_let_go(site):
    """32 of them held all threads and 485 MiB for as long as they liked."""
    here = site()
    deaf = here.connect(b"PUT /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
    here.turn(0.5)
    (channel,) = here.acceptor.active_channels.values()
    assert here.until(lambda: UNSENT <= channel.total_outbufs_len < 2 * UNSENT)
    assert channel.outbufs[-1].overflowed  # to the disk: memory stays free
    here.later(SEND_TIMEOUT - 5)
    assert not here.resource.left.is_set()
    here.later(6)
    assert here.until(here.resource.left.is_set)
    deaf.close()
    assert here.count == 0


def test_a_long_stream_that_is_read_does_not_stay_in_memory(site):
    here = site()
    reader = here.connect()
    reader.settimeout(10)
    (channel,) = here.acceptor.active_channels.values()
    for _ in range(100):
        channel.write_soon(b"x" * 10_000)
        left = 10_000
        while left:
            left -= len(reader.recv(left))
    kept = sum(buffer.getfile().seek(0, 2) for buffer in channel.outbufs)
    assert kept < 2 * UNSENT_MEMORY  # without new buffers: all that was sent


def test_a_reader_that_is_slow_is_served(site):
    here = site()
    slow = here.connect(b"PUT /quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
    here.turn(0.5)
    for _ in range(4):
        here.later(SEND_TIMEOUT - 5)
        for _ in range(100):
            slow.recv(1 << 16)
            here.turn(0.001)
    assert not here.resource.left.is_set()


def test_at_the_limit_the_one_longest_without_a_request_goes(site):
    here = site(limit=8)
    served = here.connect(post())
    silent = []
    for _ in range(7):
        here.later(0.1)
        silent.append(here.connect())
    for _ in range(3):
        assert b"200 OK" in here.answer(here.connect(GET))
    assert here.count == 6  # what one address may have
    assert [here.is_open(client) for client in silent] == [False] * 5 + [True] * 2
    here.resource.release.set()
    assert b"200 OK" in here.answer(served)


def test_one_address_leaves_room_for_others(site, caplog):
    here = site(limit=8)
    crowd = [here.connect(post()) for _ in range(8)]  # all at work
    assert here.count == 6
    assert [here.is_open(client) for client in crowd] == [True] * 6 + [False] * 2
    assert b"200 OK" in here.answer(here.connect(GET, address="127.0.0.2"))
    assert "127.0.0.1 has 6 connections" in caplog.text
    here.resource.release.set()
    for client in crowd:
        client.close()
    assert here.until(lambda: here.count <= 1)
    assert b"200 OK" in here.answer(here.connect(GET))
    assert sum(here.acceptor._held.values()) == here.count


def test_without_descriptors_an_idle_connection_goes_and_the_log_is_short(site, caplog):
    """The loop turned without end and wrote 1 to 2 MB of log a second."""
    here = site()
    silent = [here.connect() for _ in range(5)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    late = [socket.socket() for _ in range(3)]
    most = max(client.fileno() for client in late) + 1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        for client in late:
            client.settimeout(10)
            client.connect(("127.0.0.1", here.port))
        begun = time.thread_time()
        here.turn(1.0)
        assert time.thread_time() - begun < 0.5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [here.is_open(client) for client in silent][:3] == [False] * 3
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 1
    for client in late:
        client.sendall(GET)
        assert b"200 OK" in here.answer(client)
        client.close()


def test_a_refusal_reaches_a_client_that_still_sends(site):
    """Closing a socket with unread data resets it, and the answer is lost."""
    here = site()
    eager = here.connect(post(length=10**9))
    eager.settimeout(0.0)
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            eager.send(b"x" * 8192)
        here.turn(0.002)
    answer = here.answer(eager)
    assert b" 413 " in answer
    assert b"Connection: close" in answer
    assert eager.send(b"x") == 1  # no reset yet
    here.later(channels.DISCARD_SECONDS + 1)
    assert here.count == 0


def test_what_follows_a_refused_request_is_no_request(site):
    here = site()
    answer = here.answer(here.connect(b"POST /quick HTTP/1.1\r\nContent-Length: 5\r\n\r\n" + GET + GET))
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_client_that_pipelines_and_leaves_is_noticed(site):
    """Three requests on one connection: the first worked on to its end, since nobody read any more."""
    here = site()
    leaving = here.connect(3 * post(b"x"))
    assert here.until(here.resource.started.is_set)
    leaving.close()
    assert here.until(lambda: here.resource.gone == [True])
    assert here.until(lambda: here.count == 0)


@pytest.mark.parametrize("sent", [30 * post(b"x"), 4 * post(b"x" * 900_000)], ids=["many", "large"])
def test_too_much_behind_the_request_that_is_served_ends_the_connection(site, sent):
    here = site()
    eager = here.connect(post(b"x"))
    assert here.until(here.resource.started.is_set)
    threading.Thread(target=_send, args=(eager, sent)).start()
    assert here.until(lambda: here.resource.gone == [True])
    assert here.until(lambda: here.count == 0)


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)


def test_urgent_data_does_not_keep_the_loop_turning(site):
    here = site()
    odd = here.connect()
    odd.send(b"!", socket.MSG_OOB)
    assert not here.is_open(odd)


def test_the_limit_of_open_files_is_raised():
    code = (
        "import resource as r; n = r.RLIMIT_NOFILE; r.setrlimit(n, (64, r.getrlimit(n)[1]));"
        "from ominix.server.connections import raise_open_files as f; print(f(), *r.getrlimit(n))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    most, soft, hard = map(int, done.stdout.split())
    assert most == soft
    assert most == (min(hard, connections.OPEN_FILES) if hard > 0 else connections.OPEN_FILES)
