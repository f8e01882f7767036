"""The decoder loop: one step gives every row its next token. In: encoded windows with prompts. Out: samples.

Rows join and leave between steps. A row's tokens do not depend on its neighbours: it has its own place in the
caches, its own positions, rules and random numbers. Knows nothing of sound and text, nor
of when an answer is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

from ominix.models.whisper.decoder import Cache
from ominix.models.whisper.model import Model
from ominix.models.whisper.rules import Floats, Rules, log_softmax


@dataclass(frozen=True)
class Newcomer:
    """A window that wants a row."""

    row: int
    audio: mx.array  # (1, n_audio_ctx, n_audio_state)
    prompt: Sequence[int]
    start: int  # where in the prompt start of transcript is: behind it the model says whether anybody speaks
    rules: Rules
    temperature: float
    seed: int = 0  # of its random numbers


@dataclass(frozen=True)
class Sample:
    """A row's next token. Natural logarithms; temperature does not enter them."""

    row: int
    token: int
    logprob: float
    no_speech_logprob: float  # the same for all samples of a row


@dataclass
class _Row:
    number: int
    rules: Rules
    temperature: float
    random: np.random.Generator
    no_speech_logprob: float
    sampled: list[int] = field(default_factory=list)


class Rows:
    def __init__(self, model: Model, no_speech: int) -> None:
        """`no_speech`: the token that says so."""
        self._decoder = model.decoder
        self._no_speech = no_speech
        self._rows: list[_Row] = []
        self._cache: Cache | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, newcomers: Sequence[Newcomer]) -> list[Sample]:
        """Reads the prompts and samples their first tokens."""
        cache = self._decoder.listen(mx.concatenate([n.audio for n in newcomers]))
        states = self._decoder.prefill([n.prompt for n in newcomers], cache)
        places = mx.array([[n.start, len(n.prompt) - 1] for n in newcomers])
        logits = self._logits(mx.take_along_axis(states, places[..., None], axis=1))  # (B, 2, n_vocab)
        rows = [
            self._row(n, float(log_softmax(x[0])[self._no_speech]))
            for n, x in zip(newcomers, logits, strict=True)
        ]
        if self._cache is None:
            self._cache = cache
        else:
            self._cache.extend(cache)
        self._rows += rows
        return [_sample(row, x[1]) for row, x in zip(rows, logits, strict=True)]

    def step(self) -> list[Sample]:
        """One more token for every row."""
        assert self._cache is not None
        states = self._decoder([row.sampled[-1:] for row in self._rows], self._cache)
        logits = self._logits(states[:, 0])
        return [_sample(row, x) for row, x in zip(self._rows, logits, strict=True)]

    def leave(self, numbers: set[int]) -> None:
        """Gives up the rows with these numbers."""
        kept = [i for i, row in enumerate(self._rows) if row.number not in numbers]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in kept]
        if not kept:
            self._cache = None
        elif self._cache is not None:
            self._cache.choose(kept)

    @staticmethod
    def _row(newcomer: Newcomer, no_speech_logprob: float) -> _Row:
        random = np.random.default_rng(newcomer.seed)
        return _Row(newcomer.row, newcomer.rules, newcomer.temperature, random, no_speech_logprob)

    def _logits(self, states: mx.array) -> Floats:
        return np.array(self._decoder.logits(states).astype(mx.float32))


def _sample(row: _Row, logits: Floats) -> Sample:
    """The likeliest token that is allowed, or by chance if the row is warm."""
    logprobs = log_softmax(row.rules.apply(logits, row.sampled))
    if row.temperature > 0:
        chances = np.exp(log_softmax(logprobs / np.float32(row.temperature)).astype(np.float64))
        token = int(row.random.choice(len(chances), p=chances / chances.sum()))
    else:
        token = int(logprobs.argmax())
    row.sampled.append(token)
    return Sample(row.number, token, float(logprobs[token]), row.no_speech_logprob)
