"""Segments out of the tokens of one window. In: tokens with timestamps among them. Out: pieces with times.

    <|0.00|> One two. <|2.10|><|2.10|> Three. <|4.00|><|4.00|> Fo      a pair of timestamps is a cut

What follows the last pair is unfinished: the next window begins there. If the window ends in text and one
timestamp, all of it was said. Without a pair the window is one segment. Times in seconds from its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ominix.models.whisper.tokenizer import SpecialTokens


@dataclass(frozen=True)
class Segment:
    start: float
    end: float
    tokens: tuple[int, ...]  # its text's, and the timestamps around them
    first: int = 0  # the place of the first of them among the sampled


@dataclass(frozen=True)
class Cut:
    segments: tuple[Segment, ...]
    seek_seconds: float  # where the next window begins


def cut(sampled: Sequence[int], tokens: SpecialTokens, seconds: float) -> Cut:
    """`sampled`: after the prompt, without the end; `seconds`: of sound in the window."""
    first = tokens.first_timestamp
    stamps = [token >= first for token in sampled]
    ends_in_one = stamps[-2:] == [False, True]
    borders = [i for i in range(1, len(sampled)) if stamps[i - 1] and stamps[i]]
    if not borders:
        times = [token for token in sampled if token > first]
        end = tokens.seconds(times[-1]) if times else seconds
        segment = Segment(0.0, end, tuple(sampled))
        return Cut((segment,) if _has_text(segment, first) else (), seconds)
    if ends_in_one:
        borders.append(len(sampled))
    found = [
        Segment(tokens.seconds(sampled[i]), tokens.seconds(sampled[j - 1]), tuple(sampled[i:j]), i)
        for i, j in zip([0, *borders], borders, strict=False)
    ]
    seek = seconds if ends_in_one else tokens.seconds(sampled[borders[-1] - 1])
    kept = [segment for segment in found if segment.end > segment.start and _has_text(segment, first)]
    return Cut(tuple(kept), seek)


def _has_text(segment: Segment, first_timestamp: int) -> bool:
    return any(token < first_timestamp for token in segment.tokens)
