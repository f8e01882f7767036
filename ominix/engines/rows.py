"""Many answers drawn at once: one decoder step gives every row its next token.

Rows join and leave between steps. A row's tokens do not depend on its neighbours: it has its own place in the
caches, its own positions and its own random numbers. Knows nothing of audio and text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import BatchKVCache

from ominix.models.qwen3_asr.model import Model


@dataclass(frozen=True)
class Newcomer:
    """A prompt that wants a row."""

    row: int
    embeddings: mx.array  # (L, D)
    probe: int  # the position after which the watched token's probability is asked; -1: the last
    temperature: float


@dataclass(frozen=True)
class Draw:
    """A row's next token. Natural logarithms; temperature does not enter them."""

    row: int
    token: int
    logprob: float
    watched: float  # the watched token's log-probability in this place; of a newcomer: at its probe


@dataclass
class _Row:
    number: int
    temperature: float
    key: mx.array


class Rows:
    def __init__(self, model: Model, watched: int) -> None:
        self._model = model
        self._watched = watched
        self._rows: list[_Row] = []
        self._caches: list[BatchKVCache] = []  # one a layer
        self._last = mx.array([], dtype=mx.uint32)  # (B,) each row's last token

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, newcomers: Sequence[Newcomer]) -> list[Draw]:
        """Reads the prompts and draws their first tokens."""
        rows = [_Row(n.row, n.temperature, mx.random.key(0)) for n in newcomers]
        states, caches = self._read(newcomers)  # (B, 2, D)
        logprobs = self._logprobs(states)  # (B, 2, V)
        tokens = _choose(logprobs[:, 1], rows)
        watched = logprobs[:, 0, self._watched]
        draws = _draws(rows, tokens, logprobs[:, 1], watched)
        if self._rows:
            for cache, new in zip(self._caches, caches, strict=True):
                cache.extend(new)
        else:
            self._caches = caches
        self._rows += rows
        self._last = mx.concatenate([self._last, tokens])
        return draws

    def step(self) -> list[Draw]:
        """One more token for every row."""
        embeddings = self._model.model.embed_tokens(self._last[:, None])  # (B, 1, D)
        logprobs = self._logprobs(self._model.states(embeddings, self._caches)[:, 0])  # (B, V)
        self._last = _choose(logprobs, self._rows)
        return _draws(self._rows, self._last, logprobs, logprobs[:, self._watched])

    def leave(self, numbers: set[int]) -> None:
        """Gives up the rows with these numbers."""
        kept = [i for i, row in enumerate(self._rows) if row.number not in numbers]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in kept]
        self._last = self._last[mx.array(kept, dtype=mx.uint32)]
        if not kept:
            self._caches = []
        for cache in self._caches:
            cache.filter(mx.array(kept))

    def _read(self, newcomers: Sequence[Newcomer]) -> tuple[mx.array, list[BatchKVCache]]:
        """Fills new caches; the states after the probe and after the last position."""
        lengths = [len(n.embeddings) for n in newcomers]
        padding = [max(lengths) - length for length in lengths]
        caches = [BatchKVCache([0] * len(newcomers)) for _ in self._model.layers]
        for cache in caches:
            cache.prepare(lengths=lengths, right_padding=padding)
        padded = [mx.pad(n.embeddings, [(0, p), (0, 0)]) for n, p in zip(newcomers, padding, strict=True)]
        states = self._model.states(mx.stack(padded), caches)
        for cache in caches:
            cache.finalize()
        ends = [[n.probe % length, length - 1] for n, length in zip(newcomers, lengths, strict=True)]
        return mx.take_along_axis(states, mx.array(ends)[..., None], axis=1), caches

    def _logprobs(self, states: mx.array) -> mx.array:
        logits = self._model.logits(states).astype(mx.float32)
        return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def _choose(logprobs: mx.array, rows: list[_Row]) -> mx.array:
    """(B, V) -> (B,): the likeliest, or by chance where a row is warm."""
    tokens = mx.argmax(logprobs, axis=-1)
    for i, row in enumerate(rows):
        if row.temperature > 0:
            row.key, key = mx.random.split(row.key)
            tokens[i] = mx.random.categorical(logprobs[i] / row.temperature, key=key)
    return tokens


def _draws(rows: list[_Row], tokens: mx.array, logprobs: mx.array, watched: mx.array) -> list[Draw]:
    chosen = mx.take_along_axis(logprobs, tokens[:, None], axis=-1)[:, 0]
    mx.eval(tokens, chosen, watched)
    columns = zip(rows, np.array(tokens), np.array(chosen), np.array(watched), strict=True)
    return [Draw(row.number, int(token), float(chance), float(seen)) for row, token, chance, seen in columns]
