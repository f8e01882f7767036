"""Where a sparse layer keeps one sequence: keys, values and the compressed keys made of them.

Nothing is copied per token but the token. Knows nothing about batches and which blocks are read.
"""

from __future__ import annotations

import mlx.core as mx

from ominix.models.minicpm_sala.config import SparseConfig


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


def complete_windows(length: int, stride: int) -> int:
    """Windows of 2 * stride tokens, one every `stride`, that end within `length` tokens."""
    return max(0, length // stride - 1)
