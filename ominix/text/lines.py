"""Text divided into what fits a subtitle: two lines of 42 columns, cut where the script allows it.

Knows when a character is spoken from the caller; nothing of segments and file formats.
"""

from __future__ import annotations

import bisect
import itertools
import unicodedata
from collections.abc import Callable, Sequence

from ominix.text.scripts import columns, is_solid
from ominix.text.sentences import CLAUSE_ENDS, SENTENCE_ENDS

LINE_COLUMNS = 42  # an ideograph takes two
MAX_SECONDS = 7.0
MIN_SECONDS = 1.0

Span = tuple[int, int]  # characters, the second excluded
Clock = Callable[[int], float]  # when the character at this place begins, in seconds

# Weights of the cost function; dynamic programming finds the cheapest division.
_CUE = 10.0  # one cue more
_EMPTY = 6.0  # a cue without text, and in part what is partly empty
_TOO_LONG, _TOO_SHORT = 20.0, 8.0  # a second beyond the bounds
_AFTER_SENTENCE, _AFTER_CLAUSE, _AFTER_SPACE, _ELSEWHERE = 0.0, 2.0, 6.0, 9.0  # where a cue ends

_CLOSING = ("Pe", "Pf", "Po")  # categories that begin no line
_OPENING = ("Ps", "Pi")  # that end none
# Thai and Lao vowels that are written before their consonant, and the joiner.
_PREFIXES = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4\u200d")
_SUFFIXES = frozenset(  # small kana, marks of length and repetition, Thai and Lao vowels begin no line
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u30a1\u30a3\u30a5\u30a7\u30a9"
    "\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6\u30fc\u3005\u309d\u309e\u30fd\u30fe"
    "\u0e2f\u0e30\u0e32\u0e33\u0e45\u0e46\u0eb0\u0eb2\u0eb3\u0ec6"
)


def divided(text: str, clock: Clock) -> list[Span]:
    """Spans of the text that fit two lines each, as even as may be. `text`: without doubled space."""
    ruler = _Ruler(text)
    count = len(ruler.places) - 1
    times = [clock(place) for place in ruler.places]
    cheapest = [0.0] + [float("inf")] * count  # of the divisions that end at this place
    origin = [0] * (count + 1)
    for first in range(count):
        for last in range(first + 1, count + 1):
            if last > first + 1 and not ruler.fits(first, last):
                break
            filled = ruler.width(first, last) / (2 * LINE_COLUMNS)
            cost = cheapest[first] + _cost(filled, times[last] - times[first]) + ruler.penalty(last)
            if cost < cheapest[last]:
                cheapest[last], origin[last] = cost, first
    return _chain(ruler.places, origin)


def lines(text: str) -> tuple[str, ...]:
    """One line, or two of like length; in the end as many as it takes."""
    ruler = _Ruler(text)
    count = len(ruler.places) - 1
    if ruler.width(0, count) <= LINE_COLUMNS:
        return (text,)
    halves = [i for i in range(1, count) if ruler.widest(i) <= LINE_COLUMNS] or [ruler.filled(0)]
    best = ruler.places[min(halves, key=lambda i: ruler.widest(i) + ruler.penalty(i))]
    return (text[:best].rstrip(), *lines(text[best:]))


def _cost(filled: float, seconds: float) -> float:
    too_long, too_short = max(0.0, seconds - MAX_SECONDS), max(0.0, MIN_SECONDS - seconds)
    return _CUE + _EMPTY * (1 - filled) ** 2 + _TOO_LONG * too_long + _TOO_SHORT * too_short


def _chain(places: Sequence[int], origin: Sequence[int]) -> list[Span]:
    found: list[Span] = []
    last = len(places) - 1
    while last:
        found.append((places[origin[last]], places[last]))
        last = origin[last]
    return found[::-1]


class _Ruler:
    """The places where a text may be cut, and how wide it is between them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sums = [0, *itertools.accumulate(map(columns, text))]
        self.places = self._cuttable()
        self._begins = [self._sums[place] for place in self.places]
        ends = [place - (place > 0 and text[place - 1] == " ") for place in self.places]
        self._ends = [self._sums[place] for place in ends]  # without the space behind it

    def _cuttable(self) -> list[int]:
        places = [0]
        for place in range(1, len(self._text)):
            wide = self._sums[place] - self._sums[places[-1]]
            if _may_cut(self._text, place) or wide + columns(self._text[place]) > LINE_COLUMNS:
                places.append(place)
        return [*places, len(self._text)] if self._text else places

    def width(self, first: int, last: int) -> int:
        """Columns between two places, by their index."""
        return max(0, self._ends[last] - self._begins[first])

    def filled(self, first: int) -> int:
        """The last place that a line from here reaches."""
        return max(first + 1, bisect.bisect_right(self._ends, self._begins[first] + LINE_COLUMNS) - 1)

    def fits(self, first: int, last: int) -> bool:
        """Whether that is two lines at most."""
        second = self.filled(first)
        return second >= last or self.width(second, last) <= LINE_COLUMNS

    def widest(self, cut: int) -> int:
        """Of two lines that are divided there."""
        return max(self.width(0, cut), self.width(cut, len(self.places) - 1))

    def penalty(self, index: int) -> float:
        """For a cut at this place."""
        place = self.places[index]
        if place == len(self._text):
            return 0.0
        before = self._text[:place].rstrip()[-1:]
        if before in SENTENCE_ENDS:
            return _AFTER_SENTENCE
        if before in CLAUSE_ENDS:
            return _AFTER_CLAUSE
        return _AFTER_SPACE if self._text[place - 1] == " " else _ELSEWHERE


def _may_cut(text: str, place: int) -> bool:
    """Behind a space, and between ideographs and the like unless they belong together."""
    before, after = text[place - 1], text[place]
    if before == " ":
        return True
    if after == " " or not (is_solid(before) or is_solid(after)):
        return False
    if columns(after) == 0 or after in _SUFFIXES or unicodedata.category(after) in _CLOSING:
        return False
    return before not in _PREFIXES and unicodedata.category(before) not in _OPENING
