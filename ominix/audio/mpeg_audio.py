"""Frame headers of bare MPEG audio: layers 1 to 3 (ISO 11172-3, 13818-3), AAC in ADTS (13818-7).

These streams have no magic bytes, and a cut one starts inside a frame: several headers in a row,
each where the one before says, are the sign. Decodes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

_FRAMES = 3  # headers in a row: 11 bits of sync alone turn up in any data

_KBPS = {  # (MPEG 1, layer): kbit/s by index 1 to 14; MPEG 2 has the same for layers 2 and 3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {
    3: (44100, 48000, 32000),
    2: (22050, 24000, 16000),
    0: (11025, 12000, 8000),
}  # by version


class Found(NamedTuple):
    demuxer: str  # "mp3" or "aac"
    offset: int


def find(head: bytes) -> Found | None:
    """The first place from where frames follow each other; None: nowhere in these bytes."""
    offset = head.find(b"\xff")
    while offset >= 0:
        if _frames_at(head, offset):
            layer_bits = head[offset + 1] >> 1 & 3
            return Found("mp3" if layer_bits else "aac", offset)
        offset = head.find(b"\xff", offset + 1)
    return None


def _frames_at(head: bytes, offset: int) -> bool:
    at = offset
    for n in range(_FRAMES):
        if n and at >= len(head):  # a file of fewer frames, or the last one is torn
            return offset == 0
        length = _frame_bytes(head[at : at + 6])
        if not length:
            return False
        at += length
    return True


def _frame_bytes(header: bytes) -> int:
    """The length of a frame by its header; 0 for what is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    if header[1] & 0xF6 == 0xF0:
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        return length if length > 7 and header[2] >> 2 & 15 < 13 else 0
    return _layer_frame_bytes(header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3), header[2])


def _layer_frame_bytes(version: int, layer: int, third: int) -> int:
    rate_index, kbps_index = third >> 2 & 3, third >> 4
    if version == 1 or layer == 4 or rate_index == 3 or not 1 <= kbps_index <= 14:
        return 0
    bits_s = 1000 * _KBPS[version == 3, layer][kbps_index - 1]
    rate_hz, padding = _RATES_HZ[version][rate_index], third >> 1 & 1
    if layer == 1:
        return (12 * bits_s // rate_hz + padding) * 4
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bits_s // rate_hz + padding
