"""Words of a text whose tokens have times. In: text, its tokens and when each begins. Out: timed words.

Words end at spaces; in languages that write without spaces each token that is whole characters is a word.
Punctuation is between words. Times in seconds of the window.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ominix.text.sentences import SENTENCE_ENDS, TimedWord

# As openai-whisper: Chinese, Japanese, Thai, Lao, Burmese, Cantonese
_SPACELESS = frozenset({"Chinese", "Japanese", "Thai", "Lao", "Myanmar", "Cantonese"})
_LONGEST_MEDIAN_SECONDS = 0.7

Span = tuple[int, int]


def timed(
    text: str, pieces: Sequence[bytes], starts: npt.NDArray[np.float64], language: str | None
) -> list[TimedWord]:
    """`pieces`: the tokens' bytes, together a space and the text; `starts`: one more than pieces."""
    borders = _borders(text, pieces)  # where in the text each token begins, and the end
    if language in _SPACELESS:
        spans = list(itertools.pairwise(sorted(set(borders))))
    else:
        spans = list(_between_spaces(text))
    found: list[TimedWord] = []
    for span in spans:
        first, last = _trimmed(text, span)
        if first < last:
            begin = max(i for i, border in enumerate(borders[:-1]) if border <= first)
            end = next(i for i, border in enumerate(borders) if border >= last)
            found.append(TimedWord(text[first:last], first, last, float(starts[begin]), float(starts[end])))
    return _shortened(text, found)


def _borders(text: str, pieces: Sequence[bytes]) -> list[int]:
    """A token that begins inside a character begins behind it."""
    borders, data = [], b""
    for piece in pieces:
        borders.append(max(0, len(data.decode("utf-8", "replace")) - 1))  # without the space before all
        data += piece
    return [*(min(border, len(text)) for border in borders), len(text)]


def _between_spaces(text: str) -> Iterator[Span]:
    first = 0
    for is_space, group in itertools.groupby(text, str.isspace):
        last = first + len(list(group))
        if not is_space:
            yield first, last
        first = last


def _trimmed(text: str, span: Span) -> Span:
    """Without spaces and punctuation at its ends."""
    first, last = span
    while first < last and _is_mark(text[first]):
        first += 1
    while last > first and _is_mark(text[last - 1]):
        last -= 1
    return first, last


def _is_mark(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] == "P"


def _shortened(text: str, words: list[TimedWord]) -> list[TimedWord]:
    """The path gives a pause to the word behind it: a sentence's first lasts twice the median at most."""
    lengths = [word.end - word.start for word in words if word.end > word.start]
    if not lengths:
        return words
    longest = 2 * min(_LONGEST_MEDIAN_SECONDS, float(np.median(lengths)))
    found: list[TimedWord] = []
    for i, word in enumerate(words):
        follows_sentence = i > 0 and SENTENCE_ENDS.intersection(text[words[i - 1].last : word.first])
        follows_pause = i == 0 and word.end > 2 * longest
        is_long = word.end - word.start > longest and (follows_sentence or follows_pause)
        found.append(replace(word, start=word.end - longest) if is_long else word)
    return found
