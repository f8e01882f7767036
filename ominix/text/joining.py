"""How the texts of two clips that follow each other are joined."""

from __future__ import annotations

from ominix.text.scripts import is_solid

_CLOSING = ".,!?;:)]}%\u2026\u00bb\u201d\u2019"  # the last four: ellipsis and closing quotes


def between(before: str, after: str) -> str:
    """A space, or nothing where the script has none: at either side of it, and before closing marks."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if after[0] in _CLOSING or (is_solid(before[-1]) and is_solid(after[0])) else " "
