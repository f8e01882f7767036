"""Multipart forms: the bytes of a body in, its parts out, whatever type and coding a part names.

    preamble CRLF--boundary CRLF header lines CRLF CRLF content CRLF--boundary ... CRLF--boundary-- epilogue

Clients type their texts in many ways (application/json, octet-stream, ISO-8859-1) and code them as in mail
(base64, quoted-printable). A reader that passes over what it does not know loses the field `model`, and
another model answers. So every part is read, or the form is refused in a sentence. Knows no field's meaning.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import falcon

from ominix.errors import InvalidRequest

CHUNK_BYTES = 1 << 20
MAX_HEADER_BYTES = 8 << 10  # of one part
MAX_LINE_BYTES = 64 << 10  # of quoted-printable, which has 76
CRLF = b"\r\n"
FOLDED = re.compile(rb"\r\n[ \t]+")  # a header line that goes on
PADDING = re.compile(rb"[ \t]*\r\n")  # behind a boundary
# By the name that Python gives them: no others, since Python's codecs also hold what is no charset.
CHARSETS = re.compile(
    r"utf-(8|8-sig|16|16-le|16-be|32|32-le|32-be)|iso8859-\d+|cp125\d|koi8-[ru]|mac-roman|"
    r"gb2312|gbk|gb18030|big5|shift_jis|cp932|euc_jp|euc_kr|cp949|tis-620|cp874"
)


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def malformed(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The multipart form cannot be read: {reason}.", code="invalid_multipart")


class Part:
    """One field. Its content is read once, and before the next part is."""

    def __init__(self, header: bytes, content: Iterator[bytes]) -> None:
        """Raises InvalidRequest for a part that has no name, or a coding that is not known."""
        fields = _header_fields(header)
        _, disposition = falcon.parse_header(fields.get("content-disposition", ""))
        if "name" not in disposition:
            raise malformed("a part has no name in its Content-Disposition")
        self.name = disposition["name"]
        media_type, parameters = falcon.parse_header(fields.get("content-type", ""))
        self.is_json = media_type.lower() == "application/json"
        self._charset = parameters.get("charset", "utf-8")
        self._decode = _decoder(self.name, fields)
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        """The content, decoded. Raises InvalidRequest for what is not in the coding that it names."""
        try:
            yield from self._decode(self._content)
        except binascii.Error:
            raise malformed(f"'{self.name[:40]}' is not in the transfer encoding that it names") from None

    def text(self, max_bytes: int) -> str:
        """Raises InvalidRequest for bytes that are no text, or too many."""
        data = b""
        for chunk in self.chunks():
            data += chunk
            if len(data) > max_bytes:
                raise malformed(f"'{self.name[:40]}' has more than {max_bytes} bytes")
        try:
            return data.decode(_codec(self._charset))
        except UnicodeDecodeError:
            raise malformed(f"'{self.name[:40]}' is not text in {self._charset[:40]}") from None


class Form:
    """Iterate for the parts of a body, in its order. Raises InvalidRequest where it cannot be read."""

    def __init__(self, stream: Stream, content_type: str, max_parts: int) -> None:
        boundary = falcon.parse_header(content_type)[1].get("boundary", "").rstrip()
        if not 1 <= len(boundary) <= 70:
            raise malformed("its Content-Type needs a boundary of 1 to 70 characters")
        self._stream = stream
        self._max_parts = max_parts
        self._delimiter = CRLF + b"--" + boundary.encode("latin-1", "replace")
        self._buffer = CRLF  # the first boundary may stand at the very beginning

    def __iter__(self) -> Iterator[Part]:
        _exhaust(self._until_delimiter())
        count = 0
        while not self._is_last():
            count += 1
            if count > self._max_parts:
                raise malformed(f"it has more than {self._max_parts} parts")
            header = self._header()
            content = self._until_delimiter()
            yield Part(header, content)
            _exhaust(content)

    def _until_delimiter(self) -> Iterator[bytes]:
        """What stands before the next boundary, which is taken off as well."""
        margin = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > margin:
                yield self._buffer[:-margin]
                self._buffer = self._buffer[-margin:]
            self._fill()
        if at:
            yield self._buffer[:at]
        self._buffer = self._buffer[at + len(self._delimiter) :]

    def _is_last(self) -> bool:
        """Whether the boundary that was taken off ends the form; else leaves the CRLF behind it."""
        self._fill_to(2)
        if self._buffer.startswith(b"--"):
            return True
        while not (padding := PADDING.match(self._buffer)):
            if self._buffer.strip(b" \t\r") or len(self._buffer) > MAX_HEADER_BYTES:
                raise malformed("something other than a line's end follows a boundary")
            self._fill()
        self._buffer = self._buffer[padding.end() - len(CRLF) :]
        return False

    def _header(self) -> bytes:
        """The header lines of a part, between the CRLF of its boundary and an empty line."""
        while (at := self._buffer.find(CRLF + CRLF, 0, MAX_HEADER_BYTES)) < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise malformed(f"the header of a part has more than {MAX_HEADER_BYTES} bytes")
            self._fill()
        header, self._buffer = self._buffer[:at], self._buffer[at + len(CRLF) :]
        self._fill_to(len(self._delimiter))
        # An empty field may lack its own line break: the empty line's is its boundary's, too.
        if not self._buffer.startswith(self._delimiter):
            self._buffer = self._buffer[len(CRLF) :]
        return header

    def _fill_to(self, size: int) -> None:
        """As far as the body goes."""
        while len(self._buffer) < size and (data := self._stream.read(CHUNK_BYTES)):
            self._buffer += data

    def _fill(self) -> None:
        data = self._stream.read(CHUNK_BYTES)
        if not data:
            raise malformed("it ends before its last boundary")
        self._buffer += data


def _exhaust(chunks: Iterable[bytes]) -> None:
    for _ in chunks:
        pass


def _header_fields(header: bytes) -> dict[str, str]:
    lines = FOLDED.sub(b" ", header).split(CRLF)
    pairs = [line.decode("utf-8", "replace").partition(":") for line in lines]  # file names may be any bytes
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _codec(charset: str) -> str:
    """Raises InvalidRequest."""
    try:
        found = codecs.lookup(charset).name
    except (LookupError, ValueError):
        found = ""
    if found in ("ascii", "utf-8"):
        return "utf-8-sig"  # a byte-order mark is forgiven, and ASCII is often said of what is UTF-8
    if not CHARSETS.fullmatch(found):
        raise malformed(f"the charset '{charset[:40]}' is not known; send UTF-8")
    return found


Decoder = Callable[[Iterator[bytes]], Iterator[bytes]]


def _decoder(name: str, fields: dict[str, str]) -> Decoder:
    """Raises InvalidRequest."""
    compression = fields.get("content-encoding", "identity").lower()
    coding = fields.get("content-transfer-encoding", "binary").lower()
    if compression not in ("", "identity") or coding not in DECODERS:
        unknown = coding if coding not in DECODERS else compression
        raise malformed(f"'{name[:40]}' is encoded as '{unknown[:40]}', which is not known; send it as it is")
    return DECODERS[coding]


def _as_it_is(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return chunks


def _base64(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        rest += chunk.translate(None, b"\r\n\t ")
        whole = len(rest) // 4 * 4
        yield binascii.a2b_base64(rest[:whole], strict_mode=True)
        rest = rest[whole:]
    if rest:
        raise binascii.Error


def _quoted_printable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        yield binascii.a2b_qp(lines + newline)
        if len(rest) > MAX_LINE_BYTES:
            raise binascii.Error
    yield binascii.a2b_qp(rest)


DECODERS: dict[str, Decoder] = {
    "": _as_it_is,
    "7bit": _as_it_is,
    "8bit": _as_it_is,
    "binary": _as_it_is,
    "base64": _base64,
    "quoted-printable": _quoted_printable,
}
