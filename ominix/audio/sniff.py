"""What a file is, by its first bytes. Never by its name; decodes nothing.

The answer names one demuxer, and that one alone is ever opened. So nothing that follows references
(HLS, DASH, concat, SDP, image sequences) can run, whatever a file looks like further on.
"""

from __future__ import annotations

from io import FileIO
from typing import NamedTuple

from ominix.audio import mpeg_audio
from ominix.audio.refusals import unreadable

HEAD_BYTES = 65_536


class Kind(NamedTuple):
    name: str  # for the person: "a WAV file"
    demuxer: str  # FFmpeg's name
    start: int = 0  # bytes before the audio: an ID3 tag, the torn frame of a cut stream


_MAGIC = (  # offset, bytes, name, demuxer
    (8, b"WAVE", "a WAV file", "wav"),
    (0, b"riff\x2e\x91\xcf\x11", "a Wave64 file", "w64"),
    (8, b"AIFF", "an AIFF file", "aiff"),
    (8, b"AIFC", "an AIFF file", "aiff"),
    (0, b".snd", "an AU file", "au"),
    (0, b"fLaC", "a FLAC file", "flac"),
    (0, b"OggS", "an Ogg file", "ogg"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file", "matroska"),
    (4, b"ftyp", "an MP4 file", "mov"),
    (4, b"styp", "an MP4 file", "mov"),
    (4, b"moov", "a QuickTime file", "mov"),
    (4, b"mdat", "a QuickTime file", "mov"),
    (4, b"wide", "a QuickTime file", "mov"),
    (4, b"free", "a QuickTime file", "mov"),
    (4, b"skip", "a QuickTime file", "mov"),
    (0, b"caff", "a CAF file", "caf"),
    (0, b"#!AMR", "an AMR file", "amr"),
    (8, b"AVI ", "an AVI file", "avi"),
    (0, b"FLV\x01", "a Flash video", "flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", "asf"),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream", "mpeg"),
)

_REFERENCES = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"v=0", b"<?xml", b"<MPD", b"<asx", b"<smil")
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"<", "a web page"),
    (b"{", "JSON"),
)


def kind(file: FileIO) -> Kind:
    """The kind of an open file. Raises JobRefused for what is empty or no audio we know."""
    start = _after_id3(file)
    file.seek(start)
    head = file.read(HEAD_BYTES)
    if not head:
        raise unreadable("is empty: it has 0 bytes" if start == 0 else "ends after its ID3 tag")
    return _by_magic(head, start) or _by_frames(head, start) or _refuse(head)


def _after_id3(file: FileIO) -> int:
    """Where the ID3v2 tags end, by their length of 4 times 7 bits (id3.org/id3v2.4.0-structure)."""
    start = 0
    for _ in range(8):
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:10]) > 127:
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + length + (10 if tag[5] & 0x10 else 0)  # with a footer
    return start


def _by_magic(head: bytes, start: int) -> Kind | None:
    for offset, magic, name, demuxer in _MAGIC:
        if head.startswith(magic, offset):
            return Kind(name, demuxer, start)
    for first in (0, 4):  # packets of 188 bytes, or of 192 with a time stamp before each
        if len(head) > 3 * 192 and all(head[first + n * (188 + first)] == 0x47 for n in range(3)):
            return Kind("an MPEG transport stream", "mpegts", start)
    return None


def _by_frames(head: bytes, start: int) -> Kind | None:
    found = mpeg_audio.find(head)
    if found is None:
        return None
    return Kind(
        "an MP3 file" if found.demuxer == "mp3" else "an AAC file",
        found.demuxer,
        start + found.offset,
    )


def _refuse(head: bytes) -> Kind:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(tuple(mark.lower() for mark in _REFERENCES)):
        raise unreadable("is a playlist that refers to other files: send the audio itself")
    for magic, name in _OTHERS:
        if text.startswith(magic):
            raise unreadable(f"is {name}, not audio")
    raise unreadable("is not audio in a format we know: send wav, flac, mp3, m4a, mp4, ogg, opus or webm")
