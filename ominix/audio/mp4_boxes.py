"""A look at the boxes of an MP4 or QuickTime file (ISO 14496-12) before FFmpeg indexes them.

Refuses what the boxes alone give away: references to other files, an index that is not there, and
counts that no bytes stand behind: a file of 3 KB can claim 80 million samples, and FFmpeg's index
of them takes 3 GB. Decodes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

from ominix.audio.refusals import later_piece, protected, unreadable

MAX_SAMPLES = 4_000_000  # at 35 bytes each in FFmpeg; three hours of film have 1.2 million
MAX_BOXES = 300_000  # four hours of film in fragments of half a second
MAX_STSD_BYTES = 1 << 20  # the codecs' parameters, usually some hundred bytes

# The boxes in which FFmpeg looks for boxes, but for those that _inside knows.
_CONTAINERS = frozenset(
    b"moov trak mdia minf stbl moof traf mvex udta ilst dinf edts tref tapt strk strd sinf schi wave".split()
)
_ENCRYPTED = frozenset({b"drms", b"enca", b"aavd"})  # sample entries: Apple's, ISO 23001-7, Audible's
_REFERENCES = frozenset({b"url ", b"urn ", b"alis", b"rsrc"})
_OF_EACH_SAMPLE = 0xF00  # trun flags: duration, size, flags or offset stand there for each sample


class _Box(NamedTuple):
    kind: bytes
    start: int  # of the body
    end: int
    body: bytes  # its first 20 bytes

    def number(self, at: int) -> int:
        return int.from_bytes(self.body[at : at + 4], "big")


class _Claims:
    """How many samples FFmpeg is going to index, by the word of the boxes."""

    def __init__(self) -> None:
        self._indexed = 0
        self._samples = 0  # of the current track
        self._sounds = self._protected = 0  # tracks
        self._plain = False  # one tick a sample: PCM, which FFmpeg indexes by chunks

    @property
    def total(self) -> int:
        return self._indexed + (0 if self._plain else self._samples)

    @property
    def is_protected(self) -> bool:
        """All of its sound is encrypted."""
        return 0 < self._sounds <= self._protected

    def add(self, box: _Box) -> None:
        self._sounds += box.kind == b"hdlr" and box.body[8:12] == b"soun"
        self._protected += box.kind == b"stsd" and box.body[12:16] in _ENCRYPTED
        if box.kind == b"trak":
            self._indexed, self._samples, self._plain = self.total, 0, False
        elif box.kind == b"stts":
            self._plain = (box.number(4), box.number(12)) == (1, 1)
        elif box.kind in (b"stsz", b"stz2"):
            self._samples += box.number(8)
        elif box.kind == b"trun":
            self._indexed += box.number(4)


def check(file: FileIO, start: int) -> bool:
    """Whether a track begins with an empty edit: then the movie's own clock counts, which begins at 0.

    Raises JobRefused for a file that FFmpeg had better not see from `start` on.
    """
    claims, kinds, begins_empty = _Claims(), set(), False
    for box in _boxes(file, start):
        kinds.add(box.kind)
        claims.add(box)
        begins_empty |= _is_empty_edit(box)
        if claims.total > MAX_SAMPLES:
            raise unreadable(f"claims more than {MAX_SAMPLES} samples in its index")
        _refuse_by_kind(file, box)
    if b"moov" not in kinds and b"moof" in kinds:
        raise later_piece("an MP4 recording")
    if b"moov" not in kinds:
        raise unreadable(
            "has no index (moov): it was cut short, or its recording never finished. Send it whole, or "
            "repair it with the program that recorded it"
        )
    if claims.is_protected:
        raise protected()
    return begins_empty


def _is_empty_edit(box: _Box) -> bool:
    """An edit list (8.6.6) whose first entry has media time -1, of 32 or 64 bits."""
    media_time = 16 if box.body[:1] == b"\1" else 12
    return box.kind == b"elst" and box.number(media_time) == 0xFFFFFFFF


def _refuse_by_kind(file: FileIO, box: _Box) -> None:
    if box.kind == b"cmov":
        raise unreadable("has a compressed header, as early QuickTime wrote it: convert it first")
    if box.kind in _REFERENCES and box.end - box.start > 4 and not box.number(0) & 1:
        raise unreadable("refers to another file for its media: send that file itself")
    if box.kind == b"stsd" and _hides_boxes(file, box):
        raise unreadable("has a damaged index: its sample descriptions hold sample tables")


def _hides_boxes(file: FileIO, box: _Box) -> bool:
    """FFmpeg looks for boxes after a codec's parameters too, at places that depend on the codec."""
    body = os.pread(file.fileno(), min(box.end - box.start, MAX_STSD_BYTES), box.start)
    return len(body) == MAX_STSD_BYTES or any(kind in body for kind in (b"stsz", b"stz2", b"trun", b"cmov"))


def _boxes(file: FileIO, start: int) -> Iterator[_Box]:
    """Every box in the order of the file, the ones inside after the one around them."""
    spans = [(start, file.seek(0, 2))]
    seen = 0
    while spans:
        at, end = spans.pop()
        box = _box_at(file, at, end)
        if box is None:
            continue
        seen += 1
        if seen > MAX_BOXES:
            raise unreadable(f"has more than {MAX_BOXES} boxes")
        yield box
        spans.append((box.end, end))
        skip = _inside(box)
        if skip is not None:
            spans.append((box.start + skip, box.end))


def _box_at(file: FileIO, at: int, end: int) -> _Box | None:
    """The box that starts here; None: there is room for none, or its size is impossible."""
    head = os.pread(file.fileno(), min(36, max(0, end - at)), at)
    size, start = int.from_bytes(head[:4], "big"), at + 8
    if size == 1:
        size, start = int.from_bytes(head[8:16], "big"), at + 16
    elif size == 0:
        size = end - at
    if len(head) < 8 or size < start - at:
        return None
    stop = min(at + size, end)
    return _Box(head[4:8], start, stop, head[start - at :][: min(20, stop - start)])


def _inside(box: _Box) -> int | None:
    """How many bytes into the body the boxes inside begin; None: it has none."""
    if box.kind in _CONTAINERS:
        return 0
    if box.kind == b"dref":
        return 8
    if box.kind == b"meta":  # with version and flags in MP4, without in QuickTime
        return max(0, box.body.find(b"hdlr") - 4)
    if box.kind in (b"free", b"hoov") and box.body[4:8] in (b"mvhd", b"cmov"):
        return 0  # FFmpeg takes it for a moov
    return None
