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


class Buffer:
    """An array (Hk, n, D) that grows at its end, by an eighth, so that a token costs a constant.

    Its capacity is a multiple of `step`. Copies share the storage until one of them writes.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.storage: mx.array | None = None  # (Hk, capacity, D), zeros behind `length`
        self.length = 0

    def append(self, x: mx.array) -> None:
        """x: (Hk, T, D), T may be 0."""
        start, self.length = self.length, self.length + x.shape[1]
        if self.storage is None or self.length > self.storage.shape[1]:
            self._grow(x, start)
        assert self.storage is not None
        self.storage[:, start : self.length] = x

    def _grow(self, x: mx.array, used: int) -> None:
        Hk, _, D = x.shape
        capacity = -(-(self.length + self.length // 8) // self.step) * self.step
        room = mx.zeros((Hk, capacity - used, D), x.dtype)
        self.storage = (
            room if self.storage is None else mx.concatenate([self.storage[:, :used], room], axis=1)
        )

    def first(self, n: int) -> mx.array:
        """(Hk, n, D), n at most `length`."""
        assert self.storage is not None
        return self.storage[:, :n]


class SparseSequence:
    """Keys and values of one sequence, with the compressed keys that block selection reads.

    fine[j] is the mean of keys[s*j : s*j + 2*s] with s = kernel_stride, coarse[j] the same with
    4 * kernel_stride; complete windows only (InfLLM-v2, tiers 1 and 2).
    """

    def __init__(self, config: SparseConfig) -> None:
        self.config = config
        step = 4 * config.block_size  # whole blocks: the storage can be read as (Hk, blocks, ...)
        self.keys, self.values, self.fine, self.coarse = (Buffer(step) for _ in range(4))

    @property
    def length(self) -> int:
        return self.keys.length

    def append(self, k: mx.array, v: mx.array) -> None:
        """k, v: (Hk, T, D)."""
        self.keys.append(k)
        self.values.append(v)

    def compress(self) -> None:
        """Append the means of the windows that were completed since the last time."""
        for tier, stride in zip((self.fine, self.coarse), self.strides, strict=True):
            n = complete_windows(self.length, stride)
            if n > tier.length:
                tier.append(self._window_means(tier.length, n, stride).astype(self.keys_dtype))

    @property
    def strides(self) -> tuple[int, int]:
        return self.config.kernel_stride, 4 * self.config.kernel_stride

    @property
    def keys_dtype(self) -> mx.Dtype:
        return self.keys.first(0).dtype

    def _window_means(self, first: int, last: int, stride: int) -> mx.array:
        x = self.keys.first(self.length)[:, first * stride : (last + 1) * stride]
        Hk, n, D = x.shape
        halves = x.astype(mx.float32).reshape(Hk, n // stride, stride, D).mean(axis=2)
        return (halves[:, :-1] + halves[:, 1:]) / 2  # (Hk, last - first, D)

    @property
    def arrays(self) -> list[mx.array]:
        buffers = (self.keys, self.values, self.fine, self.coarse)
        return [b.storage for b in buffers if b.storage is not None]


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


def complete_windows(length: int, stride: int) -> int:
    """Windows of 2 * stride tokens, one every `stride`, that end within `length` tokens."""
    return max(0, length // stride - 1)


def _zeros(like: mx.array | None, B: int) -> mx.array:
    assert like is not None
    return mx.zeros((B, *like.shape[1:]), like.dtype)
