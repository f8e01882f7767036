"""Where sentences end, and a text with timed words cut there and at pauses.

In: a text and its words' times in seconds. Out: sentences, with the words in them.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_PAUSE_SECONDS = 0.6  # a border wherever it is
_CLAUSE_SECONDS = 0.3  # a border behind a mark of CLAUSE_ENDS

# Latin, ellipsis, Arabic, Urdu, Devanagari, CJK, Armenian, Ethiopic, Burmese, Khmer
SENTENCE_ENDS = frozenset(".!?\u2026\u061f\u06d4\u0964\u0965\u3002\uff01\uff1f\uff61\u0589\u1362\u104b\u17d4")
CLAUSE_ENDS = frozenset(",;:\u2013\u2014\u060c\u061b\u3001\uff0c\uff1b\uff1a\uff64\u104a")
_WIDE = (
    "\u3002\uff01\uff1f\uff61"  # no space follows these; behind the others a sentence ends only before one
)
_OPENING = ("Ps", "Pi")  # categories of brackets and quotes that belong to what follows
_OPENING_MARKS = "\u00bf\u00a1"


@dataclass(frozen=True)
class TimedWord:
    """text[first:last] of its clip's text. Times in seconds of the recording."""

    text: str
    first: int
    last: int
    start: float
    end: float


@dataclass(frozen=True)
class Sentence:
    """text[first:last] of a clip's text, with the words in it; at pauses a part of a sentence."""

    first: int
    last: int
    words: tuple[TimedWord, ...]

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end


def sentences(text: str, words: Sequence[TimedWord]) -> list[Sentence]:
    """The text without a gap, every word in one of the sentences. None if there are no words."""
    if not words:
        return []
    found: list[Sentence] = []
    first, held = 0, [words[0]]
    for before, after in itertools.pairwise(words):
        if _is_border(text, before, after):
            cut = _cut(text, before.last, after.first)
            found.append(Sentence(first, cut, tuple(held)))
            first, held = cut, []
        held.append(after)
    return [*found, Sentence(first, len(text), tuple(held))]


def _is_border(text: str, before: TimedWord, after: TimedWord) -> bool:
    pause = round(after.start - before.end, 3)  # times are whole milliseconds
    between = text[before.last : after.first]
    if pause >= _PAUSE_SECONDS or _ends_sentence(between, text[after.first]):
        return True
    return pause >= _CLAUSE_SECONDS and any(c in CLAUSE_ENDS for c in between)


def _ends_sentence(between: str, following: str) -> bool:
    """Not in "3.5", nor in "approx. five": what goes on with a small letter is no new sentence."""
    if any(c in _WIDE for c in between):
        return True
    stops = any(c in SENTENCE_ENDS for c in between)
    return stops and any(c.isspace() for c in between) and not following.islower()


def _cut(text: str, first: int, last: int) -> int:
    """Where in text[first:last], between two words, one sentence ends and the next begins."""
    between = text[first:last]
    spaces = [i for i, c in enumerate(between) if c.isspace()]
    if spaces:
        return first + spaces[-1] + 1
    opening = (i for i, c in enumerate(between) if _opens(c))
    return first + next(opening, len(between))


def _opens(character: str) -> bool:
    return character in _OPENING_MARKS or unicodedata.category(character) in _OPENING
