"""Bare streams: frames of a codec without a container. In: bytes. Out: where the frames begin, and whose.

These have no magic bytes at a fixed place, and a cut one starts inside a frame. A few bits of a frame's
header turn up in any data, so the sign is several headers in a row of one kind, each where the one before it
says; or a sync word of 32 bits, twice. Decodes nothing.
"""

from __future__ import annotations

import re

from ominix.audio import frame_headers
from ominix.audio.frame_headers import FrameHeader
from ominix.audio.magic import Kind

MAX_CANDIDATES = 200_000  # places that are tried; more of them is no stream but an attempt to keep us busy
_HEADER_BYTES = 16
_FRAMES = 3  # headers in a row
_MORE_FRAMES = 6  # behind a long stretch of other bytes, and where the sync word has 8 bits
_JUNK_BYTES = 16_384
_STARTS = re.compile(rb"(?=\xff(?:[\xe0-\xfe]|\xff[^\xff])|\x0b\x77|\x56[\xe0-\xff]|\x9c)")
_SYNC_WORDS = (  # pattern, bytes before it, name, demuxer
    (rb"\x7f\xfe\x80\x01|\xfe\x7f\x01\x80|\x1f\xff\xe8\x00|\xff\x1f\x00\xe8", 0, "a DTS file", "dts"),
    (rb"\xf8\x72\x6f\xba", 4, "a TrueHD file", "truehd"),
    (rb"\xf8\x72\x6f\xbb", 4, "an MLP file", "mlp"),
    (rb"\x72\xf8\x1f\x4e", 0, "an S/PDIF stream", "spdif"),
)
_GSM_BYTES = 33  # GSM 06.10: each frame begins with the four bits 1101
_GSM_FRAMES = 12


def find(data: bytes) -> Kind | None:
    """The first place from where frames follow each other; None: nowhere in these bytes."""
    return _by_sync_words(data) or _in_a_row(data) or _gsm(data)


def _in_a_row(data: bytes) -> Kind | None:
    for n, match in enumerate(_STARTS.finditer(data)):
        if n > MAX_CANDIDATES:
            break
        offset = match.start()
        first = _header(data, offset)
        if first and _goes_on(data, offset, first):
            return Kind(first.name, first.demuxer, offset)
    return None


def _goes_on(data: bytes, offset: int, first: FrameHeader) -> bool:
    """More frames of the same kind follow; at the very beginning of a file, or it ends before."""
    at = offset + first.length
    is_certain = offset < _JUNK_BYTES and first.demuxer != "sbc"
    for _ in range((_FRAMES if is_certain else _MORE_FRAMES) - 1):
        if at >= len(data):
            return offset == 0
        header = _header(data, at)
        if header is None or header.form != first.form:
            return False
        at += header.length
    return True


def _header(data: bytes, at: int) -> FrameHeader | None:
    return frame_headers.read(data[at : at + _HEADER_BYTES])


def _by_sync_words(data: bytes) -> Kind | None:
    for pattern, before, name, demuxer in _SYNC_WORDS:
        places = [match.start() - before for match in re.finditer(pattern, data)]
        if places and (len(places) > 1 or places[0] == 0) and places[0] >= 0:
            return Kind(name, demuxer, places[0])
    return None


def _gsm(data: bytes) -> Kind | None:
    starts = data[: 100 * _GSM_BYTES : _GSM_BYTES]
    if len(starts) >= _GSM_FRAMES and all(byte >> 4 == 0xD for byte in starts):
        return Kind("a GSM file", "gsm")
    return None
