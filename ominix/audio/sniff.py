"""What a file is, by its bytes. Never by its name; decodes nothing.

The answer names one demuxer, and that one alone is ever opened. So nothing that follows references
(HLS, DASH, concat, SDP, image sequences) can run, whatever a file looks like further on.

`magic` knows files by their first bytes, `bare` streams without a container. What begins inside a packet,
behind zeros or behind other bytes is looked for further on, the most certain sign first: packets of a
transport stream, say, hold whole frames of AAC.
"""

from __future__ import annotations

import re
from io import FileIO

from ominix.audio import bare, ebml, magic, ogg_links, protection
from ominix.audio.magic import Kind
from ominix.audio.refusals import later_piece, protected, unreadable

HEAD_BYTES = 65_536
_DEEP_BYTES = 4 << 20  # behind a tag whose length is wrong, or other bytes
_ZEROS_BYTES = 256 << 20
_MXF_RUN_IN = re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01[\x02\x03]")
_PACKETS = (  # of 188 bytes, with a time stamp of 4 before each, or with 16 of error correction behind
    re.compile(rb"(?=G.{187}G.{187}G.{187}G.{187}G)", re.DOTALL),
    re.compile(rb"(?=G.{191}G.{191}G.{191}G.{191}G)", re.DOTALL),
    re.compile(rb"(?=G.{203}G.{203}G.{203}G.{203}G)", re.DOTALL),
)
_FRAGMENT = re.compile(rb"moof.{4}mfhd", re.DOTALL)
_AUDIBLE = b"\x57\x90\x75\x36"  # the older format of Audible's books
_PACK = b"\x00\x00\x01\xba"  # begins a stretch of an MPEG program stream

_REFERENCES = (
    b"#EXTM3U", b"ffconcat", b"[playlist]", b"[reference]", b"ASF http", b"v=0", b"<?xml", b"<MPD", b"<asx",
    b"<smil", b"rtsp://", b"pnm://", b"http://", b"https://", b"RTSPtext", b"SMILtext",
)  # fmt: skip
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"MThd", "a MIDI file: notes, not sound"),
    (b"\x03ds2", "a DS2 dictation, which only Olympus' and Philips' own programs decode"),
    (b"<", "a web page"),
    (b"{", "JSON"),
)


def kind(file: FileIO) -> Kind:
    """The kind of an open file. Raises JobRefused for what is empty or no audio we know."""
    start = _after_id3(file)
    if start and not _read(file, start, 1):
        return _deep(file, 10) or _refuse_end_of_tag()
    head = _read(file, start, HEAD_BYTES)
    if not head:
        raise unreadable("is empty: it has 0 bytes")
    found = _shifted(_by_head(head), start) or _behind_zeros(file, start)
    if found is None:
        _refuse_pieces(_read(file, start, _DEEP_BYTES))
        return _deep(file, start) or _refuse(head)
    if found.demuxer == "ogg":
        found = found._replace(start=ogg_links.beginning(file, found.start))
    protection.check(file, found)
    return found


def _read(file: FileIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _shifted(found: Kind | None, start: int) -> Kind | None:
    return found._replace(start=found.start + start) if found else None


def _after_id3(file: FileIO) -> int:
    """Where the ID3v2 tags end, by their length of 4 times 7 bits (id3.org/id3v2.4.0-structure)."""
    start = 0
    for _ in range(8):
        tag = _read(file, start, 10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:10]) > 127:
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + length + (10 if tag[5] & 0x10 else 0)  # with a footer
    return start


def _by_head(head: bytes) -> Kind | None:
    return magic.find(head) or _by_packets(head) or bare.find(head)


def _by_packets(head: bytes) -> Kind | None:
    """Streams made of packets or packs; the first may be torn."""
    for first in (0, 4):  # a stream of three packets is certain where the file begins with one
        if len(head) > 3 * 192 and all(head[first + n * (188 + first)] == 0x47 for n in range(3)):
            return Kind("an MPEG transport stream", "mpegts")
    places = [match.start() for pattern in _PACKETS if (match := pattern.search(head))]
    if places:
        return Kind("an MPEG transport stream", "mpegts", min(places))
    if head.count(_PACK) > 1:
        return Kind("an MPEG program stream", "mpeg", head.find(_PACK))
    page = head.find(b"OggS\0")
    if page >= 0:
        return Kind("an Ogg file", "ogg", page)
    run_in = _MXF_RUN_IN.search(head)
    return Kind("an MXF file", "mxf", run_in.start()) if run_in else None


def _behind_zeros(file: FileIO, start: int) -> Kind | None:
    for at in range(start, start + _ZEROS_BYTES, HEAD_BYTES):
        chunk = _read(file, at, HEAD_BYTES)
        if not chunk or chunk[0]:
            return None
        rest = chunk.lstrip(b"\0")
        if rest:
            at += len(chunk) - len(rest)
            return _shifted(_by_head(_read(file, at, HEAD_BYTES)), at)
    return None


def _deep(file: FileIO, start: int) -> Kind | None:
    """Behind other bytes: a tag whose length is wrong, what a recorder has written before."""
    return _shifted(bare.find(_read(file, start, _DEEP_BYTES)), start)


def _refuse_end_of_tag() -> Kind:
    raise unreadable("ends after its ID3 tag")


def _refuse_pieces(data: bytes) -> None:
    """Later pieces of recordings: browsers hand them out one by one."""
    if _FRAGMENT.search(data):
        raise later_piece("an MP4 recording")
    if ebml.is_later_piece(data):
        raise later_piece("a WebM or Matroska recording")


def _refuse(head: bytes) -> Kind:
    if head[4:8] == _AUDIBLE:
        raise protected()
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(tuple(mark.lower() for mark in _REFERENCES)):
        raise unreadable("is a playlist that refers to other files: send the audio itself")
    for start, name in _OTHERS:
        if text.startswith(start):
            raise unreadable(f"is {name}, not audio")
    raise unreadable("is not audio or video in a format that can be decoded here")
