"""Where the links of a chained Ogg file begin (RFC 3533): recordings joined end to end.

Each link has headers of its own. FFmpeg decodes a second Vorbis link with the tables of the first,
to noise, so every link is opened as a file. One of headers alone is left out: a recording of a radio
may have been stopped there. Decodes nothing.
"""

from __future__ import annotations

import os
from io import FileIO
from typing import NamedTuple

from ominix.audio.refusals import later_piece, unreadable

_MAX_LINKS = 1_000  # a day of radio, song by song
_SEARCH_BYTES = 65_536


class _Page(NamedTuple):
    start: int
    end: int
    first: bool  # of a logical stream; those of one link stand together at its beginning
    sounds: bool  # its position is that of a sample: headers have none


def beginning(file: FileIO, start: int) -> int:
    """Where the first headers are. Raises JobRefused if all pages are of a recording that began before."""
    at = start
    while page := _page(file.fileno(), at):
        if page.first:
            return page.start
        at = page.end
    if at == start:  # no page at all: FFmpeg says so
        return start
    raise later_piece("an Ogg recording")


def links(file: FileIO, start: int) -> list[tuple[int, int]]:
    """From byte to byte, the whole file from `start` on; the first in any case."""
    begins, sounding, at, among_first = [start], {start}, start, True
    while page := _page(file.fileno(), at):
        if page.first and not among_first:
            begins.append(page.start)
        if len(begins) > _MAX_LINKS:
            raise unreadable(f"is joined from more than {_MAX_LINKS} recordings")
        if page.sounds:
            sounding.add(begins[-1])
        among_first, at = page.first, page.end
    spans = zip(begins, [*begins[1:], os.fstat(file.fileno()).st_size], strict=True)
    return [(begin, end) for begin, end in spans if begin in sounding]


def _page(descriptor: int, at: int) -> _Page | None:
    """The first page from here on; damage between pages is passed over."""
    while head := os.pread(descriptor, 27 + 255, at):
        if head.startswith(b"OggS\0") and len(head) >= 27:
            segments = head[27 : 27 + head[26]]
            sounds = int.from_bytes(head[6:14], "little", signed=True) > 0
            return _Page(at, at + 27 + len(segments) + sum(segments), bool(head[5] & 2), sounds)
        stretch = os.pread(descriptor, _SEARCH_BYTES, at + 1)
        found = stretch.find(b"OggS")
        at += 1 + (found if found >= 0 else max(0, len(stretch) - 3))
    return None
