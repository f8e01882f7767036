"""Recognise protected (DRM) files. In: a file and its kind. Out: a refusal that says so.

FFmpeg has no keys: it would decode scrambled packets to noise or to nothing. MP4's signs are in `mp4_boxes`,
which reads all boxes anyway.
"""

from __future__ import annotations

from collections import Counter
from io import FileIO

from ominix.audio import ebml
from ominix.audio.magic import Kind
from ominix.audio.refusals import protected

_HEAD_BYTES = 1 << 20
_ASF_ENCRYPTION = (  # objects of the header (ASF specification, 3.14, 3.15 and 4.9)
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    bytes.fromhex("33850543816de1499b7497bdaf9d0d1d"),
    bytes.fromhex("338505438169e6499b74ad12cb86d58c"),
)
_ASF_OBJECTS = 1_000
_PACKET_BYTES = (188, 192, 204)
_TRACK_TYPE, _SOUND, _ENCRYPTION = 0x83, 2, 0x5035


def check(file: FileIO, kind: Kind) -> None:
    """Raises JobRefused."""
    scrambled = _BY_DEMUXER.get(kind.demuxer)
    if scrambled is None:
        return
    file.seek(kind.start)
    if scrambled(file.read(_HEAD_BYTES)):
        raise protected()


def _asf(head: bytes) -> bool:
    """Objects of a header: a GUID of 16 bytes, then the size."""
    at, seen = 30, 0
    while at + 24 <= len(head) and seen < _ASF_OBJECTS:
        if head[at : at + 16] in _ASF_ENCRYPTION:
            return True
        at += max(24, int.from_bytes(head[at + 16 : at + 24], "little"))
        seen += 1
    return False


def _matroska(head: bytes) -> bool:
    """Every sound track has a ContentEncryption."""
    tracks = [{e.number: e.data for e in ebml.inside(track)} for track in ebml.tracks(head)]
    sounding = [track for track in tracks if int.from_bytes(track.get(_TRACK_TYPE, b""), "big") == _SOUND]
    return bool(sounding) and all(_ENCRYPTION in track for track in sounding)


def _transport(head: bytes) -> bool:
    """Most packets that carry something have scrambling control bits (ISO 13818-1, 2.4.3.2)."""
    for size in _PACKET_BYTES:
        packets = [head[i : i + 4] for i in range(0, len(head) - 3, size)]
        if all(packet[0] == 0x47 for packet in packets[:5]):
            carrying = [p for p in packets if p[0] == 0x47 and p[3] & 0x10]
            control = Counter(bool(p[3] & 0xC0) for p in carrying)
            return control[True] > control[False]
    return False


def _oma(head: bytes) -> bool:
    """Sony's header has an identifier of the encryption; two values of it mean none."""
    at = head.find(b"EA3", 1)
    return at > 0 and head[at + 6 : at + 8] not in (b"\xff\xff", b"\xff\x80")


_BY_DEMUXER = {"asf": _asf, "matroska": _matroska, "mpegts": _transport, "oma": _oma}
