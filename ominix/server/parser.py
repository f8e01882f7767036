"""The front door: one request as its bytes come, refused as early as its headers allow.

    headers ──► framing ──► gate ──► endpoint, Content-Length ──► body ──► a thread and the app
                  400      401 403          404 405 413         408 413 507

waitress's parser reads; this one refuses what waitress 3.0.2 lets through (two lengths, two hosts, a coding
twice), and asks who calls before a byte of the body is stored. A refused body is not read (channels.py), and
nobody is told to go on with it (100-continue). A path or method that is not there gets the app's own answer,
without its body. Has no socket and no thread: the loop's thread calls `received`.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError, get_header_lines
from waitress.utilities import Error

from ominix.errors import OminixError
from ominix.http import answers
from ominix.http.access import Rights
from ominix.server import hosts
from ominix.server.chunks import ChunkedReceiver
from ominix.server.endpoints import Endpoints
from ominix.server.gate import Call, Gate, Origins

ABSURD_BYTES = 1 << 62  # a Content-Length beyond it is no length
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Door:
    gate: Gate
    origins: Origins
    endpoints: Endpoints


class Refusal:
    """An error of ours, where waitress expects one of its own."""

    def __init__(self, error: OminixError) -> None:
        self.code, self.answer = answers.body_of(error)
        self.reason = HTTPStatus(self.code).phrase


class DiskFull(Error):  # type: ignore[misc]  # waitress has no types
    code = 507
    reason = "Insufficient Storage"


class CannotStore(Error):  # type: ignore[misc]  # waitress has no types
    code = 503
    reason = "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    chunked: bool
    body_rcv: Any

    def __init__(self, door: Door, address: str, adj: Adjustments) -> None:
        super().__init__(adj)
        self.rights = Rights(details=False, paths=False)
        self.is_body_left = False  # what the client still sends of this request is not read
        self._door = door
        self._address = address
        self._max_body_bytes: int | None = None  # None: the headers are not read yet

    def received(self, data: bytes) -> int:
        """How many bytes of `data` belong to this request."""
        try:
            consumed: int = super().received(data)
        except OSError as error:  # the body did not go to the disk
            self.error = _storage_error(error)
        if self._max_body_bytes is None and self.headers_finished and not (self.empty or self.error):
            self._check_headers()
        elif self.chunked and len(self.body_rcv or b"") > (self._max_body_bytes or 0):
            self.error = Refusal(self._door.endpoints.refusal(self._app_path(), self._max_body_bytes or 0))
        if self.error:
            self.is_body_left = True
        if not self.is_body_left:
            return consumed
        self.completed = True
        self.expect_continue = False
        return len(data)

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # int() of thousands of digits, urlsplit() of an open bracket
            raise ParsingError("The request line or Content-Length cannot be read") from None
        if self.content_length >= ABSURD_BYTES:
            raise ParsingError("Content-Length is too large a number")
        self._check_framing(header_plus.partition(b"\r\n")[2])
        if self.chunked:
            self.body_rcv = ChunkedReceiver(self.body_rcv.getbuf())
        elif self.body_rcv is None:
            self.expect_continue = False  # there is nothing to go on with

    def _check_framing(self, header: bytes) -> None:
        """Raises ParsingError for what two readers may take for different requests (RFC 9112, 3.2 and 6)."""
        fields = [line.partition(b":") for line in get_header_lines(header)]
        codings = [v.strip(b" \t").lower() for k, _, v in fields if k.lower() == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or self.version != "1.1"):
            raise ParsingError("Transfer-Encoding is not 'chunked' in HTTP/1.1")
        if codings and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Both Transfer-Encoding and Content-Length")
        named = sum(k.lower() == b"host" for k, _, _ in fields)
        if named > 1 or (not named and self.version == "1.1"):
            raise ParsingError(f"{named} Host headers instead of one")
        host = hosts.authority(self.headers.get("HOST", ""))
        if host is None:
            raise ParsingError("The Host header is no name or address with an optional port")
        self._check_target(host)

    def _check_target(self, host: hosts.Authority) -> None:
        """Raises ParsingError if the request line names another host, or no path."""
        if self.proxy_scheme or self.proxy_netloc:
            if self.proxy_scheme not in hosts.DEFAULT_PORTS or hosts.authority(self.proxy_netloc) != host:
                raise ParsingError("The request line names another host than the Host header")
        elif not self.path.startswith("/") and (self.command, self.path) != ("OPTIONS", "*"):
            raise ParsingError("The request line has no path")

    def _check_headers(self) -> None:
        path = self._app_path()
        method = "GET" if self.command == "HEAD" else self.command
        try:
            self.rights = self._door.gate.check(Call(self.command, path, self.headers, self._address))
            limit = self._door.endpoints.body_limit(method, path)
            self._max_body_bytes = limit or 0
            if limit is None and self.body_rcv is not None:
                self._leave_body()
            elif limit is not None and self.content_length > limit:
                raise self._door.endpoints.refusal(path, limit, self.content_length)
        except OminixError as error:
            self.error = Refusal(error)

    def _app_path(self) -> str:
        """As the app reads it (http/access, app)."""
        path = re.sub("//+", "/", self.path)
        return path if path == "/" else path.removesuffix("/")

    def _leave_body(self) -> None:
        """The app refuses by itself what no endpoint takes."""
        self.close()
        self.body_rcv = None
        self.chunked = False
        self.headers.pop("CONTENT_LENGTH", None)
        self.headers["CONNECTION"] = "close"
        self.is_body_left = True


def _storage_error(error: OSError) -> Any:
    if error.errno in FULL_DISK:
        return DiskFull("the disk is full, and the request did not fit on it")
    return CannotStore(f"the request cannot be stored: {error.strerror}")
