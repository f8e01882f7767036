"""Whether an answer is good enough, or its window has to be decoded again at a higher temperature.

OpenAI's thresholds and today's rule for silence: a window is silent only if the model says so *and* is unsure
of its words. Text that repeats itself compresses well.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # tried one after the other
_MOST_COMPRESSION = 2.4  # bytes of text by bytes of it compressed
_LEAST_LOGPROB = -1.0  # natural logarithm, mean of the tokens
_NO_SPEECH_PROB = 0.6


@dataclass(frozen=True)
class Quality:
    """Of one window's answer."""

    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float

    @property
    def is_silence(self) -> bool:
        return self.no_speech_prob > _NO_SPEECH_PROB and self.avg_logprob < _LEAST_LOGPROB

    @property
    def repeats(self) -> bool:
        return self.compression_ratio > _MOST_COMPRESSION

    @property
    def is_good(self) -> bool:
        """Or silence, which no temperature makes better."""
        return self.is_silence or not (self.repeats or self.avg_logprob < _LEAST_LOGPROB)


def compression_ratio(text: str) -> float:
    """0 for no text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0
