"""What the joining, splitting and measuring of text must know of the world's scripts."""

from __future__ import annotations

import unicodedata

# Scripts without spaces between words, with their punctuation: first and last code point.
_SOLID = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x30FF),  # CJK radicals and punctuation, hiragana, katakana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x9FFF),  # bopomofo, strokes, katakana, CJK ideographs
    (0xF900, 0xFAFF),  # more ideographs
    (0xFE30, 0xFE4F),  # their forms in vertical text
    (0xFF01, 0xFF9F),  # fullwidth forms and halfwidth katakana; halfwidth hangul follows
    (0x20000, 0x3FFFF),  # rare ideographs
)


def is_solid(character: str) -> bool:
    """Whether it is of a script without spaces between words."""
    return any(first <= ord(character) <= last for first, last in _SOLID)


def columns(character: str) -> int:
    """How wide it stands: 2 for ideographs and the like, 0 for what combines with others or is not seen."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
