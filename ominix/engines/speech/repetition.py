"""Answers that repeat themselves for ever: found while they grow, and cut.

The reference (transformers) looks at the finished text and keeps one copy of what repeats 20 times.
Here part of the text may be on its way to the client already, so up to three copies stay.
"""

from __future__ import annotations

_SHOWN = 3  # copies that are passed on at once; more are held back until the row is broken
_SHORT = 20  # characters, and copies of so short a pattern that are a loop, as in the reference
_LONG = 200  # characters
_LONG_COPIES = 10


class RepetitionFilter:
    """Text passes through; what may be part of a loop is held back."""

    def __init__(self) -> None:
        self.found = False  # the answer loops: no more is to be expected of it
        self._text = ""  # as far back as matters
        self._held = 0  # characters of it that are not passed on yet

    def feed(self, piece: str) -> str:
        """What may be shown by now."""
        if self.found or not piece:
            return ""
        self._text += piece
        waiting = self._held + len(piece)
        surplus = self._surplus()
        self._held = min(waiting, surplus if self.found or not surplus else waiting)
        shown = self._text[len(self._text) - waiting : len(self._text) - self._held]
        self._text = self._text[-(_LONG * _LONG_COPIES + _LONG) :]
        return shown

    def end(self) -> str:
        """What was held back, unless it was a loop."""
        return "" if self.found or not self._held else self._text[-self._held :]

    def _surplus(self) -> int:
        """Characters at the end beyond the third copy of a pattern. Sets `found`."""
        surplus = 0
        for length in range(1, min(_LONG, len(self._text) // 2) + 1):
            same = self._same(length)
            copies = same // length + 1
            self.found = self.found or copies >= (_SHORT if length <= _SHORT else _LONG_COPIES)
            surplus = max(surplus, same - (_SHOWN - 1) * length)
        return surplus

    def _same(self, length: int) -> int:
        """How many characters at the end equal the one so far before them."""
        text, same = self._text, 0
        while same + length < len(text) and text[-1 - same] == text[-1 - same - length]:
            same += 1
        return same
