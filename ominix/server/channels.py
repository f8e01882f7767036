"""One connection, as this server needs it, and what its requests become.

    silent ──first byte──► headers ──► body ──► being served (its thread) ──► answer leaving ──► idle ──► ...
     10 s                   10 s     1 KiB/s       no bound here               60 s without    120 s
                                                                               progress

Behind each state stands how long it may last; `look` closes what lasts longer. The acceptor's clock counts:
it stands still while the process does, so that nobody is late because we were. A refused request is answered
at once, and what its client still sends is read and thrown away for a moment: closing a socket with unread
data resets it, and the client would never see why. Knows nothing of the app.
"""

from __future__ import annotations

import functools
import logging
import socket
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from ominix.http import access, answers
from ominix.server.gate import cors_headers
from ominix.server.parser import Parser, Refusal

if TYPE_CHECKING:
    from ominix.server.connections import Acceptor

log = logging.getLogger("ominix.server")

HEADER_SECONDS = 10  # from the first byte to the end of the headers; also for the first byte of a connection
IDLE_SECONDS = 120  # between an answer and the next request
BODY_SECONDS = 30  # in every such span so many bytes of a body have to come:
BODY_BYTES = BODY_SECONDS << 10
DISCARD_SECONDS = 5  # of what a refused client still sends
DISCARD_BYTES = 64 << 20
# Requests behind the one that is served. They are read, since a client's end comes behind all that it sent.
MAX_PIPELINED = 16
MAX_PIPELINED_BYTES = 1 << 20  # of their bodies, one excepted


class RequestTimeout(Error):  # type: ignore[misc]  # waitress has no types
    code = 408
    reason = "Request Timeout"


class JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Refusals before the app, waitress's and ours, in the one error shape and in the access log."""

    def execute(self) -> None:
        request, error = self.request, self.request.error
        self.channel.is_body_left = True
        body = answers.json_bytes(_answer(error))
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        asked = request.headers.get("X_REQUEST_ID", "")
        request_id = asked if access.SANE_ID.fullmatch(asked) else access.fresh_id()
        self.response_headers.append(("x-request-id", request_id))
        self.response_headers.extend(answers.headers_of(error.code))
        origins, address = self.channel.server.door.origins, self.channel.addr[0]
        self.response_headers.extend(cors_headers(origins, request.headers.get("ORIGIN"), address))
        self.set_close_on_finish()
        self.content_length = len(body)
        read = vars(request)  # as far as it was read: the first line may be no request
        path = read.get("path", "")[: access.MAX_PATH] or None
        fields = {"id": request_id, "method": read.get("command"), "path": path, "status": error.code}
        access.write({**fields, "bytes": len(body)})
        self.write(body)  # last: it raises where the client has left after the first bytes


def _answer(error: Error | Refusal) -> dict[str, Any]:
    if isinstance(error, Refusal):
        return error.answer
    kind = "server_error" if error.code >= 500 else "invalid_request_error"
    message = error.reason if error.code == 500 else f"{error.reason}: {error.body}"
    return answers.error_body(message, kind, None, answers.http_code(error.code))


class Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[access.RIGHTS] = self.request.rights
        return environ

    def execute(self) -> None:
        self.channel.is_body_left = self.request.is_body_left
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = JsonErrorTask
    task_class = Task
    close_when_flushed: bool
    current_outbuf_count: int

    def __init__(self, server: Acceptor, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:
        self.is_body_left = False  # the request that was answered last has bytes that nobody read
        self._is_first = True  # no request has come yet
        self._since = server.clock  # of this connection's start, or of its last answer's end
        self._header_since = server.clock
        self._sent_at = server.clock  # when the client last took something of an answer
        self._body: tuple[object, float, int] | None = None  # a request, and how far it was when
        self._discarding = False
        self._discarded_bytes = 0
        super().__init__(server, sock, addr, adj, map=map)
        self.parser_class = functools.partial(Parser, server.door, str(addr[0]))

    @property
    def asks(self) -> bool:
        """Whether the request starts no work, so that its answer is short."""
        request = self.requests[0]
        return request.error is not None or request.command in ("GET", "HEAD", "OPTIONS")

    @property
    def client(self) -> str:
        """Who takes turns with others: a key that was checked, or an address."""
        client: str = self.requests[0].rights.caller.client
        return client or str(self.addr[0])

    @property
    def is_served(self) -> bool:
        return bool(self.requests)

    @property
    def rank(self) -> tuple[int, float]:
        """Who goes first: connections without a request, then slow bodies, then slow readers."""
        is_body = self.request is not None and self.request.headers_finished
        return (2 if self.total_outbufs_len else 1 if is_body else 0, self._since)

    def look(self, send_timeout_seconds: float) -> None:
        """Close or refuse what has lasted too long. For the loop's thread, about every second."""
        now = self.server.clock
        if not self.total_outbufs_len:
            self._sent_at = now
        if self.requests or self.total_outbufs_len:  # it is our turn
            self._since = self._header_since = now
            self._body = None
            if now - self._sent_at > send_timeout_seconds:
                log.warning("a client took nothing of its answer for %.0f s: closed", now - self._sent_at)
                self.handle_close()
        elif self._discarding or self.request is None or not self.request.headers_finished:
            if self._is_late(now):
                self.handle_close()
        else:
            self._look_at_body(self.request, now)

    def _is_late(self, now: float) -> bool:
        if self._discarding:
            return now - self._since > DISCARD_SECONDS
        if self.request is not None:
            return now - self._header_since > HEADER_SECONDS
        return now - self._since > (HEADER_SECONDS if self._is_first else IDLE_SECONDS)

    def _look_at_body(self, request: Parser, now: float) -> None:
        known, since, had = self._body or (None, now, 0)
        received = request.body_bytes_received
        if known is not request or received - had >= BODY_BYTES:
            self._body = (request, now, received)
        elif now - since > BODY_SECONDS:
            with self.requests_lock:
                request.error = RequestTimeout(f"{received} bytes of the body came, and no more for a while")
                request.expect_continue = False
                self.requests.append(request)
                self.request = None
                self.server.add_task(self)

    def write_soon(self, data: bytes) -> int:
        """A buffer of waitress's keeps what was sent of it: a long stream gets new ones on its way."""
        if not self.total_outbufs_len and self.current_outbuf_count >= self.adj.outbuf_overflow:
            self.current_outbuf_count = self.adj.outbuf_high_watermark  # so waitress begins one
        return int(super().write_soon(data))

    def readable(self) -> bool:
        return self._discarding or bool(super().readable())

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self._header_since = self.server.clock
        waiting = self.requests
        if waiting and (waiting[-1].error or waiting[-1].is_body_left):
            return False  # what follows a refused request may be its body
        taken = bool(super().received(data))
        if self._is_too_far_ahead():
            log.warning("a client sent too many requests behind the one that is served: closed")
            self.handle_close()
        return taken

    def _is_too_far_ahead(self) -> bool:
        waiting = [request.body_bytes_received for request in self.requests[1:]]
        if waiting and self.request is not None:
            waiting.append(self.request.body_bytes_received)
        return len(waiting) > MAX_PIPELINED or sum(waiting) - max(waiting, default=0) > MAX_PIPELINED_BYTES

    def service(self) -> None:
        super().service()
        self._is_first = False
        self._since = self.server.clock

    def handle_read(self) -> None:
        if not self._discarding:
            super().handle_read()
            return
        self._discarded_bytes += len(self.recv(1 << 16))  # closes at the client's end
        if self._discarded_bytes > DISCARD_BYTES:
            self.handle_close()

    def handle_write(self) -> None:
        if not (self.close_when_flushed and self.is_body_left):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.connected and not self.total_outbufs_len and not self.will_close:
            self.close_when_flushed = False
            self._discarding = True
            self._since = self.server.clock
            self._end_answers()
        elif self.will_close:
            self.handle_close()

    def _end_answers(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)  # so that the client knows that the answer is whole
        except OSError:  # it has left
            self.handle_close()

    def handle_expt(self) -> None:
        """Urgent data, which HTTP does not have: it would wake the loop without end."""
        self.handle_close()

    def _flush_some(self, do_close: bool = True) -> bool:
        is_taken = bool(super()._flush_some(do_close))
        if is_taken:
            self._sent_at = self.server.clock
        return is_taken

    def del_channel(self, map: Any = None) -> None:
        if self._fileno in self.server.active_channels:
            self.server.left(self.addr)
        super().del_channel(map)
