"""Headers of the frames that bare streams consist of. In: the first 16 bytes of a frame. Out: its length.

MPEG audio, layers 1 to 3 (ISO 11172-3, 13818-3), AAC in ADTS (13818-7) and in LOAS (14496-3), AC-3 and E-AC-3
(ETSI TS 102 366), SBC (Bluetooth A2DP). Decodes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

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


_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES_HZ = (48_000, 44_100, 32_000)
_MPEG_HEADER_BYTES = 6


class FrameHeader(NamedTuple):
    name: str  # for the person: "an MP3 file"
    demuxer: str  # FFmpeg's name
    length: int  # bytes of the whole frame
    form: tuple[str, int]  # the same for all frames of a stream


def read(header: bytes) -> FrameHeader | None:
    """None: no frame begins with these bytes."""
    if len(header) < _MPEG_HEADER_BYTES:
        return None
    if header[0] == 0xFF and header[1] & 0xE0 == 0xE0:
        return _adts(header) if header[1] & 0xF6 == 0xF0 else _layer(header)
    if header.startswith(b"\x0b\x77"):
        return _ac3(header)
    if header[0] == 0x56 and header[1] & 0xE0 == 0xE0:
        length = ((header[1] & 0x1F) << 8 | header[2]) + 3
        return FrameHeader("an AAC stream (LOAS)", "loas", length, ("loas", 0)) if length > 8 else None
    return _sbc(header) if header[0] == 0x9C else None


def _adts(header: bytes) -> FrameHeader | None:
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    rate_index = header[2] >> 2 & 15
    if length <= 7 or rate_index >= 13:
        return None
    return FrameHeader("an AAC file", "aac", length, ("aac", rate_index))


def _layer(header: bytes) -> FrameHeader | None:
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    length = _layer_frame_bytes(version, layer, header[2])
    form = header[1] & 0x1E | (header[2] & 0x0C) << 8  # version, layer and rate
    return FrameHeader("an MP3 file", "mp3", length, ("mp3", form)) if length else None


def _ac3(header: bytes) -> FrameHeader | None:
    rate_index, version = header[4] >> 6, header[5] >> 3
    if version > 10:  # E-AC-3 says its length in words
        words = ((header[2] & 7) << 8 | header[3]) + 1
        return FrameHeader("an E-AC-3 file", "eac3", 2 * words, ("eac3", 0)) if version <= 16 else None
    kbps_index = header[4] & 0x3F
    if rate_index == 3 or kbps_index >= 2 * len(_AC3_KBPS):
        return None
    rate_hz = _AC3_RATES_HZ[rate_index]
    words = 96_000 * _AC3_KBPS[kbps_index >> 1] // rate_hz + (kbps_index & 1 if rate_hz == 44_100 else 0)
    return FrameHeader("an AC-3 file", "ac3", 2 * words, ("ac3", rate_index))


def _sbc(header: bytes) -> FrameHeader | None:
    form, bitpool = header[1], header[2]
    blocks, mode, subbands = 4 * (form >> 4 & 3) + 4, form >> 2 & 3, 8 if form & 1 else 4
    channels = 1 if mode == 0 else 2
    bits = blocks * bitpool * (channels if mode < 2 else 1) + (subbands if mode == 3 else 0)
    length = 4 + 4 * subbands * channels // 8 + -(-bits // 8)
    return FrameHeader("an SBC file", "sbc", length, ("sbc", form)) if bitpool > 1 else None


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
