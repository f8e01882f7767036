"""Which files `ominix transcribe` works on: those named, and every audio or video file of the folders named.

A file that is named by itself may be anything; the server says what it is not. In folders, and in folders
within them, an ending of audio or video is enough. Where other files have that ending too (`.mts`), and
behind names that say nothing (`.ts`, none), the first bytes decide. Hidden files are left out: macOS puts
a `._x.mp3` beside `x.mp3` on foreign disks. Decodes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STDIN = Path("-")
_ENDINGS = """
    3g2 3ga 3gp 3gpp 8svx aa3 aac aax ac3 adts aif aifc aiff amr ape asf au avi awb caf dff divx dsf dss
    dts dtshd dv eac3 ec3 f4a f4b f4v flac flv gsm isma ismv loas m1a m1v m2a m2ts m2v m4a m4b m4p m4r
    m4v mka mkv mlp mov mp1 mp2 mp3 mp4 mp4a mp4v mpa mpc mpe mpeg mpg mpga mpp mts mxf nist nsv oga
    ogg ogm ogv ogx oma opus qt rf64 shn snd sph spx tak thd truehd tta vob voc w64 wav wave weba webm
    wma wmv wtv wv
"""
MEDIA = frozenset(_ENDINGS.split())
AMBIGUOUS = frozenset({"au", "m2ts", "mpp", "mts", "snd"})  # as other files have it, too
HEAD_BYTES = 4096
_MAGIC = (  # offset, bytes
    (8, b"WAVE"), (8, b"AIFF"), (8, b"AIFC"), (8, b"AVI "), (0, b"riff\x2e\x91\xcf\x11"), (0, b".snd"),
    (0, b"fLaC"), (0, b"OggS"), (0, b"\x1aE\xdf\xa3"), (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"),
    (0, b"caff"), (0, b"#!AMR"), (0, b"FLV\x01"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (0, b"\x00\x00\x01\xba"), (0, b"\x00\x00\x01\xb3"), (0, b"ID3"), (0, b"wvpk"), (0, b"MAC "), (0, b"TTA1"),
    (0, b"MPCK"), (0, b"MP+"), (0, b"DSD "), (0, b"FRM8"), (0, b"NIST_1A"), (0, b"Creative Voice File"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"), (0, b"\x7f\xfe\x80\x01"), (0, b"\x0b\x77"), (0, b".RMF"),
    (0, b".ra\xfd"), (0, b"ADIF"),
)  # fmt: skip
_PACKETS = ((188, 0), (192, 4))  # of MPEG transport streams: their size, and where the sync byte stands
_SYNC = 0x47


@dataclass
class Found:
    """What there is to do, in order, and what is not done."""

    files: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # no audio or video, as far as can be seen
    hidden: int = 0
    unreadable: list[OSError] = field(default_factory=list)  # folders that cannot be looked into


def find(given: Sequence[Path]) -> Found:
    """A file that is met twice is done once."""
    found, seen = Found(), set()
    for path in given:
        for file in _below(path, found) if path.is_dir() else [path]:
            place = os.path.realpath(file)
            if file == STDIN or place not in seen:
                seen.add(place)
                found.files.append(file)
    return found


def _below(folder: Path, found: Found) -> Iterator[Path]:
    """Links to folders are not followed: they may lead in circles."""
    for place, folders, names in os.walk(folder, onerror=found.unreadable.append):
        shown = [name for name in names if not name.startswith(".")]
        found.hidden += len(names) - len(shown)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(place, name) for name in sorted(shown)):
            if is_media(file):
                yield file
            elif file.exists():  # no link that leads nowhere
                found.skipped.append(file)


def is_media(file: Path) -> bool:
    """Whether it looks like a file with sound."""
    if not file.is_file():  # a pipe would be waited for
        return False
    ending = file.suffix.lower().removeprefix(".")
    return (ending in MEDIA and ending not in AMBIGUOUS) or _has_magic(file)


def _has_magic(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return False
    return any(head.startswith(magic, offset) for offset, magic in _MAGIC) or _has_packets(head)


def _has_packets(head: bytes) -> bool:
    """Also of a stream whose first packet is torn."""
    return any(
        len(head) > start + 3 * size and all(head[start + n * size] == _SYNC for n in range(4))
        for size, first in _PACKETS
        for start in range(first, size)
    )
