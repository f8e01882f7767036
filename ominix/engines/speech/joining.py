"""How the texts of two clips that follow each other are joined."""

from __future__ import annotations

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
_CLOSING = ".,!?;:)]}%\u2026\u00bb\u201d\u2019"  # the last four: ellipsis and closing quotes


def between(before: str, after: str) -> str:
    """A space, or nothing where the script has none: at either side of it, and before closing marks."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if after[0] in _CLOSING or (_is_solid(before[-1]) and _is_solid(after[0])) else " "


def _is_solid(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _SOLID)
