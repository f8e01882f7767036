"""What the layers remember of each sequence, alone or in a batch.

The two caches have the members that mlx-lm's generators call: merge, extend, filter, extract,
prepare, finalize, size, empty, nbytes, state. A sequence's tokens are stored from its position 0
on, without padding, and lengths are plain integers: every sequence of a batch follows its own.
Knows nothing about attention.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from ominix.models.minicpm_sala.config import SparseConfig
from ominix.models.minicpm_sala.storage import SparseSequence


@dataclass(frozen=True)
class Span:
    """Columns start .. stop - 1 of a call are a row's own; the others are padding."""

    start: int
    stop: int
    position: int  # in the sequence, of column 0 (below 0 under left padding)


@dataclass
class Row:
    """A sequence of a batch: how many tokens it has seen, which of the coming ones are padding."""

    offset: int = 0
    skip: int = 0  # padding before its next token
    left: int | None = None  # its own tokens before padding begins; None: it does not

    def take(self, T: int) -> Span:
        """What the next T columns hold of this sequence; counts it as seen."""
        start = min(self.skip, T)
        n = T - start if self.left is None else min(T - start, self.left)
        span = Span(start, start + n, self.offset - start)
        self.skip -= start
        self.left = None if self.left is None else self.left - n
        self.offset += n
        return span


class BatchedCache:
    """The rows of a batch and their padding; the layers' caches add what they store."""

    def __init__(self) -> None:
        self.rows = [Row()]

    def prepare(
        self,
        *,
        left_padding: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
        right_padding: Sequence[int] | None = None,
    ) -> None:
        """The coming calls carry padding: before a row's tokens, or after `lengths` of them.

        `right_padding` is what `lengths` leaves of the longest row and adds nothing.
        """
        for row, skip in zip(self.rows, left_padding or (), strict=False):
            row.skip = skip
        for row, length in zip(self.rows, lengths or (), strict=False):
            row.left = length

    def finalize(self) -> None:
        """The padding is over."""
        for row in self.rows:
            row.skip, row.left = 0, None

    @property
    def offset(self) -> int:
        """Tokens seen, by the longest row."""
        return max(row.offset for row in self.rows)

    def size(self) -> int:
        return self.offset

    def empty(self) -> bool:
        return self.offset == 0

    def is_trimmable(self) -> bool:
        """False: a recurrent state cannot forget its last token."""
        return False


class LightningCache(BatchedCache):
    """Of a lightning layer: one float32 state per row, the same size however long the text."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent_state: mx.array | None = None  # (B, H, Dk, Dv)

    def take(self, B: int, T: int) -> list[Span]:
        """What a (B, T) call holds of each row; counts it as seen."""
        if self.empty() and len(self.rows) < B:
            self.rows = [replace(self.rows[0]) for _ in range(B)]
        return [row.take(T) for row in self.rows]

    @classmethod
    def merge(cls, caches: Sequence[LightningCache]) -> LightningCache:
        merged = copy.deepcopy(caches[0])
        for cache in caches[1:]:
            merged.extend(copy.deepcopy(cache))
        return merged

    def extend(self, other: LightningCache) -> None:
        mine, theirs = self.recurrent_state, other.recurrent_state
        if mine is not None or theirs is not None:
            mine = _zeros(theirs, len(self.rows)) if mine is None else mine
            theirs = _zeros(mine, len(other.rows)) if theirs is None else theirs
            self.recurrent_state = mx.concatenate([mine, theirs])
        self.rows = self.rows + other.rows

    def filter(self, batch_indices: list[int]) -> None:
        self.rows = [self.rows[i] for i in batch_indices]
        if self.recurrent_state is not None:
            self.recurrent_state = self.recurrent_state[mx.array(batch_indices)]

    def extract(self, idx: int) -> LightningCache:
        one = LightningCache()
        one.rows = [replace(self.rows[idx])]
        if self.recurrent_state is not None:
            one.recurrent_state = mx.contiguous(self.recurrent_state[idx : idx + 1])
        return one

    @property
    def state(self) -> list[mx.array]:
        return [] if self.recurrent_state is None else [self.recurrent_state]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.state)


class SparseCache(BatchedCache):
    """Of a `minicpm4` layer: a SparseSequence per row."""

    def __init__(self, config: SparseConfig) -> None:
        super().__init__()
        self.config = config
        self.sequences = [SparseSequence(config)]

    def take(self, B: int, T: int) -> list[tuple[Span, SparseSequence]]:
        """What a (B, T) call holds of each row, counted as seen, and the row's store."""
        if self.empty() and len(self.rows) < B:
            self.rows = [replace(self.rows[0]) for _ in range(B)]
            self.sequences = [SparseSequence(self.config) for _ in range(B)]
        return [(row.take(T), s) for row, s in zip(self.rows, self.sequences, strict=True)]

    @classmethod
    def merge(cls, caches: Sequence[SparseCache]) -> SparseCache:
        merged = copy.deepcopy(caches[0])
        for cache in caches[1:]:
            merged.extend(copy.deepcopy(cache))
        return merged

    def extend(self, other: SparseCache) -> None:
        self.rows = self.rows + other.rows
        self.sequences = self.sequences + other.sequences

    def filter(self, batch_indices: list[int]) -> None:
        self.rows = [self.rows[i] for i in batch_indices]
        self.sequences = [self.sequences[i] for i in batch_indices]

    def extract(self, idx: int) -> SparseCache:
        one = SparseCache(self.config)
        one.rows = [replace(self.rows[idx])]
        one.sequences = [copy.deepcopy(self.sequences[idx])]
        return one

    @property
    def state(self) -> list[mx.array]:
        return [a for s in self.sequences for a in s.arrays]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.state)


def _zeros(like: mx.array | None, B: int) -> mx.array:
    assert like is not None
    return mx.zeros((B, *like.shape[1:]), like.dtype)
