"""A chunked body (RFC 9112, 7.1) as it arrives: pieces in, payload into waitress's buffer out.

waitress's own receiver keeps lines of any length and searches them again at every piece: an endless line, or
a body in chunks of one byte, took minutes of the thread that reads all sockets. Here every byte is looked at
once, and what is no payload is bounded.
"""

from __future__ import annotations

import enum
import re
from typing import BinaryIO

from waitress.buffers import OverflowableBuffer
from waitress.utilities import BadRequest

MAX_LINE_BYTES = 4 << 10  # a chunk's size with its extensions
MAX_TRAILER_BYTES = 8 << 10
# Sizes, extensions and line ends may take so much and an eighth of the payload: chunks of 48 bytes will do.
MAX_FRAMING_BYTES = 64 << 10
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class _Expects(enum.Enum):
    SIZE = enum.auto()
    PAYLOAD = enum.auto()
    LINE_END = enum.auto()  # behind a chunk's payload
    TRAILER = enum.auto()  # header lines behind the last chunk, then an empty one; nobody reads them


class ChunkedReceiver:
    """Stands where waitress.receiver.ChunkedReceiver does."""

    def __init__(self, buffer: OverflowableBuffer) -> None:
        self.completed = False
        self.error: BadRequest | None = None
        self._buffer = buffer
        self._expects = _Expects.SIZE
        self._line = b""  # as far as it has come
        self._left = 0  # bytes of the chunk that are still to come
        self._framing_bytes = 0
        self._trailer_bytes = 0
        self._payload_bytes = 0

    def __len__(self) -> int:
        return self._payload_bytes

    def getfile(self) -> BinaryIO:
        file: BinaryIO = self._buffer.getfile()
        return file

    def getbuf(self) -> OverflowableBuffer:
        return self._buffer

    def received(self, data: bytes) -> int:
        """How many bytes of `data` belong to this body."""
        at = 0
        payload = []
        while at < len(data) and not self.completed and not self.error:
            if self._expects is _Expects.PAYLOAD:
                piece = data[at : at + self._left]
                payload.append(piece)
                self._left -= len(piece)
                at += len(piece)
                if not self._left:
                    self._expects = _Expects.LINE_END
            else:
                end = data.find(b"\n", at) + 1
                self._line += data[at : end or len(data)]
                at = end or len(data)
                self._on_line(is_whole=end > 0)
        if payload:
            joined = b"".join(payload)
            self._payload_bytes += len(joined)
            self._buffer.append(joined)
        return at

    def _on_line(self, *, is_whole: bool) -> None:
        line = self._line
        if len(line) > MAX_LINE_BYTES:
            self._refuse("A line between chunks is too long")
        elif self._expects is _Expects.LINE_END and not b"\r\n".startswith(line):
            self._refuse("A chunk is longer than it says")
        elif is_whole and not line.endswith(b"\r\n"):
            self._refuse("A line between chunks ends without a carriage return")
        elif is_whole:
            self._line = b""
            self._on_whole_line(line[:-2])

    def _on_whole_line(self, line: bytes) -> None:
        if self._expects is _Expects.LINE_END:
            self._expects = _Expects.SIZE
        elif self._expects is _Expects.SIZE:
            self._on_size(line)
        elif line:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                self._refuse("The trailer is too long")
        else:
            self.completed = True

    def _on_size(self, line: bytes) -> None:
        self._framing_bytes += len(line) + 4  # with this line's end and that behind the payload
        matched = SIZE_LINE.fullmatch(line)
        if not matched:
            self._refuse("Invalid chunk size")
        elif self._framing_bytes > MAX_FRAMING_BYTES + self._payload_bytes // 8:
            self._refuse("The body comes in too many small chunks")
        else:
            self._left = int(matched[1], 16)
            self._expects = _Expects.PAYLOAD if self._left else _Expects.TRAILER

    def _refuse(self, reason: str) -> None:
        self.error = BadRequest(reason)
