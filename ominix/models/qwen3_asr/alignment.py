"""What the aligner is asked, and how its classes read as times.

    <|audio_start|>(audio)<|audio_end|>word<timestamp><timestamp>word<timestamp><timestamp>...

The first of a word's two stamps stands for its start, the second for its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ominix.models.qwen3_asr.config import AlignerConfig
from ominix.models.qwen3_asr.timestamps import non_decreasing
from ominix.models.qwen3_asr.tokenizer import Vocabulary


@dataclass(frozen=True)
class Question:
    """The tokens around the audio, and at which of those after it the stamps stand."""

    before: list[int]
    after: list[int]
    stamps: list[int]

    def places(self, audio: int) -> list[int]:
        """The stamps' positions in a prompt with so many positions of audio."""
        return [len(self.before) + audio + stamp for stamp in self.stamps]


class Questions:
    """Questions in the tokens of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, config: AlignerConfig) -> None:
        """Raises ValueError for a vocabulary without the tokens."""
        self._vocabulary = vocabulary
        self._start = vocabulary.id_of("<|audio_start|>")
        self._end = vocabulary.id_of("<|audio_end|>")
        known = config.timestamp_token_id
        self._stamp = vocabulary.id_of("<timestamp>") if known is None else known

    def ask(self, words: Sequence[str]) -> Question:
        after = [self._end]
        stamps: list[int] = []
        for word in words:
            after += self._vocabulary.encode(word)
            stamps += [len(after), len(after) + 1]
            after += [self._stamp] * 2
        return Question([self._start], after, stamps)


def times(classes: Sequence[int], class_ms: float) -> list[tuple[int, int]]:
    """Two classes a word -> its start and end in milliseconds; none before the one before it."""
    fixed = non_decreasing([number * class_ms for number in classes])
    return list(zip(fixed[::2], fixed[1::2], strict=True))
