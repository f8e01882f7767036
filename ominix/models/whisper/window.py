"""A clip of sound on its way to text, and what its job's clips share."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ominix.models.recogniser import Features, Prompt
from ominix.models.whisper.quality import Quality
from ominix.wire.jobs import SearchOptions

_RESETTING_TEMPERATURE = 0.5  # text that was drawn warmer is no model for what follows: openai's rule


class Previous:
    """The text before the next window of a sequence, as far as its prompt holds it.

    As openai-whisper has it: the client's text is that of the first window alone, unless each is answered in
    view of all before; then the tokens of earlier windows follow it, with their times.
    """

    def __init__(self, start: int, given: Sequence[int], longest: int, *, keeps: bool) -> None:
        """`start`: the token that stands before such text; `longest`: tokens of it that a prompt holds."""
        self._start = start
        self._tokens = list(given)
        self._longest = longest
        self._keeps = keeps

    @property
    def prompt(self) -> list[int]:
        """[] for no text."""
        return [self._start, *self._tokens[-self._longest :]] if self._tokens else []

    def add(self, tokens: Sequence[int], temperature: float) -> None:
        """A window was answered, and not with silence."""
        if self._keeps and temperature <= _RESETTING_TEMPERATURE:
            self._tokens += tokens
            del self._tokens[: -self._longest]
        else:
            self._tokens.clear()


@dataclass(frozen=True)
class WhisperPrompt(Prompt):
    """`before` is the text that the client gave. `code`: the language's; None: to be found out."""

    code: str | None
    translate: bool
    evidence: npt.NDArray[np.float64]  # (languages,): seconds of sound that speak for each; grows
    search: SearchOptions
    multilingual: bool  # each clip has a language of its own
    previous: Previous | None  # of windows in a sequence; None: clips do not know of each other


@dataclass
class Attempt:
    """What was sampled at one temperature."""

    temperature: float
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    no_speech_prob: float = 0.0
    quality: Quality | None = None


@dataclass
class Window:
    """A clip on its way to text."""

    row: int
    mel: Features
    prompt: WhisperPrompt
    before: Sequence[int]  # tokens of earlier text
    temperatures: deque[float]  # not tried yet
    audio: mx.array | None = None  # encoded: (1, n_audio_ctx, n_audio_state)
    code: str | None = None  # of the language
    language_logprob: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)


def best(attempts: list[Attempt]) -> Attempt:
    """Where none is good: the likeliest of those that do not repeat themselves, or of all."""

    def rank(attempt: Attempt) -> tuple[bool, float]:
        assert attempt.quality is not None
        return not attempt.quality.repeats, attempt.quality.avg_logprob

    return max(attempts, key=rank)
