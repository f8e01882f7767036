"""The decoder loop: one step gives every row its next token. In: encoded windows with searches. Out: answers.

A window has a group of rows that share its sound, as many as its search wants. Groups join and leave between
steps. What a row is offered does not depend on its neighbours: it has its own place in the caches, its own
positions, rules and random numbers. Knows nothing of sound and text, nor of when an answer is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ominix.models.whisper.decoder import Cache
from ominix.models.whisper.model import Model
from ominix.models.whisper.rules import Floats, log_softmax
from ominix.models.whisper.search import Hypothesis, Search


@dataclass(frozen=True)
class Newcomer:
    """A window that wants to be answered."""

    number: int
    audio: mx.array  # (1, n_audio_ctx, n_audio_state)
    prompt: Sequence[int]
    start: int  # where in the prompt start of transcript is: behind it the model says whether anybody speaks
    search: Search


@dataclass(frozen=True)
class Answered:
    number: int
    hypothesis: Hypothesis
    no_speech_logprob: float


@dataclass
class _Group:
    number: int
    search: Search
    no_speech_logprob: float


class Rows:
    def __init__(self, model: Model, no_speech: int) -> None:
        """`no_speech`: the token that says so."""
        self._decoder = model.decoder
        self._no_speech = no_speech
        self._groups: list[_Group] = []
        self._cache: Cache | None = None

    def __len__(self) -> int:
        """Groups."""
        return len(self._groups)

    def join(self, newcomers: Sequence[Newcomer]) -> list[Answered]:
        """Reads the prompts and takes the first tokens."""
        cache = self._decoder.listen(mx.concatenate([n.audio for n in newcomers]))
        states = self._decoder.prefill([n.prompt for n in newcomers], cache)
        places = mx.array([[n.start, len(n.prompt) - 1] for n in newcomers])
        logits = self._logits(mx.take_along_axis(states, places[..., None], axis=1))  # (B, 2, n_vocab)
        groups = [
            _Group(n.number, n.search, float(log_softmax(x[0])[self._no_speech]))
            for n, x in zip(newcomers, logits, strict=True)
        ]
        on, answered = self._advance(groups, cache, logits[:, 1])
        if on and self._cache is not None:
            self._cache.extend(cache)
        elif on:
            self._cache = cache
        self._groups += on
        return answered

    def step(self) -> list[Answered]:
        """One more token for every row."""
        assert self._cache is not None
        tokens = [[row.tokens[-1]] for group in self._groups for row in group.search.rows]
        logits = self._logits(self._decoder(tokens, self._cache)[:, 0])
        self._groups, answered = self._advance(self._groups, self._cache, logits)
        if not self._groups:
            self._cache = None
        return answered

    def leave(self, numbers: set[int]) -> None:
        """Gives up the groups with these numbers."""
        kept = [i for i, group in enumerate(self._groups) if group.number not in numbers]
        if len(kept) == len(self._groups):
            return
        self._groups = [self._groups[i] for i in kept]
        if not kept:
            self._cache = None
        elif self._cache is not None:
            self._cache.choose({i: range(self._cache.sizes[i]) for i in kept})

    @staticmethod
    def _advance(groups: list[_Group], cache: Cache, logits: Floats) -> tuple[list[_Group], list[Answered]]:
        """(rows of all groups, n_vocab) -> the groups that go on, and the answers of the others."""
        chosen: dict[int, Sequence[int]] = {}
        answered: list[Answered] = []
        first = 0
        for i, (group, size) in enumerate(zip(groups, list(cache.sizes), strict=True)):
            if parents := group.search.advance(logits[first : first + size]):
                chosen[i] = parents
            else:
                answered.append(Answered(group.number, group.search.best, group.no_speech_logprob))
            first += size
        if chosen:
            cache.choose(chosen)
        return [groups[i] for i in chosen], answered

    def _logits(self, states: mx.array) -> Floats:
        return np.array(self._decoder.logits(states).astype(mx.float32))
