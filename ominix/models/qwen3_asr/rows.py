"""The decoder loop: one step gives every row its next token. In: prompts as embeddings. Out: draws.

Rows join and leave between steps. A row's tokens do not depend on its neighbours: it has its own place in the
caches, its own positions and its own random numbers. Knows nothing of audio and text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import BatchKVCache

from ominix.cpu import door
from ominix.models.qwen3_asr.model import Model
from ominix.models.recogniser import Draw


@dataclass(frozen=True)
class Newcomer:
    """A prompt that wants a row."""

    row: int
    embeddings: mx.array  # (L, D)
    probe: int  # the position after which the watched token's probability is asked; -1: the last
    temperature: float
    seed: int = 0  # of its random numbers


@dataclass
class _Row:
    number: int
    temperature: float
    key: mx.array


@dataclass
class _Drawn:
    """The next token of every row with its log-probabilities; perhaps still being computed. All (B,)."""

    tokens: mx.array
    logprobs: mx.array
    watched: mx.array

    def columns(self) -> tuple[mx.array, mx.array, mx.array]:
        return self.tokens, self.logprobs, self.watched

    def read(self, rows: list[_Row]) -> list[Draw]:
        mx.eval(self.columns())
        columns = zip(rows, *map(np.array, self.columns()), strict=True)
        return [
            Draw(row.number, int(token), float(chance), float(seen)) for row, token, chance, seen in columns
        ]


class Rows:
    def __init__(self, model: Model, watched: int, *, lookahead: bool | None = None) -> None:
        """`lookahead`: begin the next step before a draw is looked at, so that a GPU does not wait for
        Python. It costs a step at the end of the last row; a CPU goes without unless asked."""
        self._model = model
        self._watched = watched
        self._in_numpy = door.is_settled_for_cpu(model)
        self._lookahead = not door.on_cpu() if lookahead is None else lookahead
        self._rows: list[_Row] = []
        self._caches: list[BatchKVCache] = []  # one a layer
        self._last = mx.array([], dtype=mx.uint32)  # (B,) what the next step reads
        self._ahead: _Drawn | None = None  # what the next step will return

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, newcomers: Sequence[Newcomer]) -> list[Draw]:
        """Reads the prompts and draws their first tokens."""
        rows = [_Row(n.row, n.temperature, mx.random.key(n.seed)) for n in newcomers]
        states, caches = self._read(newcomers)  # (B, 2, D): after the probe, after the end
        drawn = _choose(rows, self._logprobs(states[:, 1]), self._watched)
        drawn.watched = self._logprobs(states[:, 0])[:, self._watched]
        draws = drawn.read(rows)
        if self._ahead:
            ahead = self._advance(rows, caches, drawn.tokens)
            columns = zip(self._ahead.columns(), ahead.columns(), strict=True)
            self._ahead = _Drawn(*(mx.concatenate(list(pair)) for pair in columns))
        for cache, new in zip(self._caches, caches, strict=bool(self._rows)):
            cache.extend(new)
        self._caches = self._caches or caches
        self._rows += rows
        self._last = mx.concatenate([self._last, drawn.tokens])
        return draws

    def step(self) -> list[Draw]:
        """One more token for every row."""
        drawn = self._ahead or self._advance(self._rows, self._caches, self._last)
        self._last = drawn.tokens
        if self._lookahead:
            self._ahead = self._advance(self._rows, self._caches, self._last)
            mx.async_eval(self._ahead.columns())
        return drawn.read(self._rows)

    def leave(self, numbers: set[int]) -> None:
        """Gives up the rows with these numbers."""
        kept = [i for i, row in enumerate(self._rows) if row.number not in numbers]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in kept]
        chosen = mx.array(kept, dtype=mx.uint32)
        self._last = self._last[chosen]
        if not kept:
            self._caches, self._ahead = [], None
        for cache in self._caches:
            cache.filter(chosen)
        if self._ahead:
            self._ahead = _Drawn(*(column[chosen] for column in self._ahead.columns()))

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

    def _advance(self, rows: list[_Row], caches: list[BatchKVCache], last: mx.array) -> _Drawn:
        """The draws after these tokens. Lazy, and the caches grow."""
        embeddings = self._model.model.embed_tokens(last[:, None])  # (B, 1, D)
        states = self._model.states(embeddings, caches)[:, 0]
        return _choose(rows, self._logprobs(states), self._watched)

    def _logprobs(self, states: mx.array) -> mx.array:
        """(B, D) -> (B, V)."""
        logits = self._model.logits(states).astype(mx.float32)
        return door.log_softmax(logits, in_numpy=self._in_numpy)


def _choose(rows: list[_Row], logprobs: mx.array, watched: int) -> _Drawn:
    """The likeliest tokens, or by chance where a row is warm."""
    tokens = mx.argmax(logprobs, axis=-1)
    for i, row in enumerate(rows):
        if row.temperature > 0:
            row.key, key = mx.random.split(row.key)
            tokens[i] = mx.random.categorical(logprobs[i] / row.temperature, key=key)
    chosen = mx.take_along_axis(logprobs, tokens[:, None], axis=-1)[:, 0]
    return _Drawn(tokens, chosen, logprobs[:, watched])
