"""Elements of Matroska and WebM (RFC 8794, RFC 9559), as far as a file's beginning shows. Decodes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

CLUSTER, SIMPLE_BLOCK, BLOCK_GROUP = 0x1F43B675, 0xA3, 0xA0
_SEGMENT, _TRACKS, _TRACK = 0x18538067, 0x1654AE6B, 0xAE
_ENCODINGS = 0x6D80
_MAX_ELEMENTS = 10_000
_IN_CLUSTERS = (CLUSTER, SIMPLE_BLOCK, BLOCK_GROUP)
# A cluster begins with its time stamp, behind a size of one to eight bytes.
_CLUSTER = re.compile(
    rb"\x1f\x43\xb6\x75(?:\x01.{7}|[\x10-\x1f].{3}|[\x20-\x3f].{2}|[\x40-\x7f].|[\x80-\xff])\xe7[\x81-\x88]",
    re.DOTALL,
)


class Element(NamedTuple):
    number: int  # its ID
    data: bytes  # as far as it is there
    is_whole: bool


def elements(data: bytes) -> Iterator[Element]:
    """One after the other, from the first byte on."""
    at = 0
    for _ in range(_MAX_ELEMENTS):
        number_bytes = _length(data, at, 4)
        size_bytes = _length(data, at + number_bytes, 8) if number_bytes else 0
        if not size_bytes:
            return
        number = int.from_bytes(data[at : at + number_bytes], "big")
        at += number_bytes
        bits = 7 * size_bytes
        size = int.from_bytes(data[at : at + size_bytes], "big") & (1 << bits) - 1
        at += size_bytes
        end = len(data) if size == (1 << bits) - 1 else at + size  # all ones: of unknown size
        yield Element(number, data[at:end], end <= len(data))
        at = end


def _length(data: bytes, at: int, most: int) -> int:
    """Of the number that begins here, by the zeros before its first bit; 0: there is none."""
    if at >= len(data) or not data[at]:
        return 0
    length = 9 - data[at].bit_length()
    return length if length <= most else 0


def tracks(head: bytes) -> Iterator[bytes]:
    for segment in elements(head):
        if segment.number == _SEGMENT:
            for element in elements(segment.data):
                if element.number == _TRACKS:
                    yield from (track.data for track in elements(element.data) if track.number == _TRACK)


def inside(track: bytes) -> Iterator[Element]:
    """A track's elements, and those of its encodings."""
    for element in elements(track):
        yield element
        if element.number == _ENCODINGS:
            for encoding in elements(element.data):
                yield from elements(encoding.data)


def is_later_piece(data: bytes) -> bool:
    """These bytes come from the middle: clusters or blocks, and no header before them."""
    if _CLUSTER.search(data):
        return True
    first = [element for _, element in zip(range(3), elements(data), strict=False)]
    return bool(first) and all(e.number in _IN_CLUSTERS and e.is_whole for e in first[:2]) and len(first) > 1
