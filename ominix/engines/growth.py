"""How many bytes the caches of one sequence take, by its tokens.

Asked of the caches by their types, not guessed by shapes: a state of 256 numbers does not grow, a sliding
window does until it is full. A cache of a type that is not known here, whose arrays do not tell, is measured
at two lengths. Knows mlx-lm's caches and arrays, nothing of the machine's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import ArraysCache, CacheList, ChunkedKVCache, KVCache, RotatingKVCache

STEP = KVCache.step  # tokens: caches grow by so many at a time
LENGTHS = (512, 1024)  # tokens, where a cache has to be measured: beyond the windows of such models

Caches = Sequence[Any]  # one per layer, of mlx-lm's many cache types


@dataclass(frozen=True)
class Growth:
    token_bytes: int
    most_tokens: int | None = None  # a window's size; None: it grows for ever

    def bytes_of(self, tokens: int) -> int:
        return self.token_bytes * (tokens if self.most_tokens is None else min(tokens, self.most_tokens))


@dataclass(frozen=True)
class SequenceSize:
    fixed_bytes: int = 0  # however short the sequence is
    growths: tuple[Growth, ...] = ()

    def bytes_of(self, tokens: int) -> int:
        taken = -(-tokens // STEP) * STEP
        return self.fixed_bytes + sum(growth.bytes_of(taken) for growth in self.growths)

    def most_tokens(self, most_bytes: int, limit: int) -> int:
        """The longest sequence that takes no more, of at most `limit` tokens."""
        few, many = 0, limit // STEP  # steps: `few` fit
        if self.bytes_of(limit) <= most_bytes:
            return limit
        while many - few > 1:
            middle = (few + many) // 2
            if self.bytes_of(middle * STEP) <= most_bytes:
                few = middle
            else:
                many = middle
        return few * STEP


def of(caches: Caches, run: Callable[[int], Caches]) -> SequenceSize:
    """`caches`: after one token; `run`: computes so many tokens, for the caches that hold them."""
    leaves = list(_leaves(caches))
    known = [size for cache in leaves if (size := _known(cache)) is not None]
    unknown = [cache for cache in leaves if _known(cache) is None]
    if any(STEP in array.shape for cache in unknown for array in _arrays(cache)):
        known += [_by_shape(cache) for cache in unknown]
    elif unknown:
        known.append(_measured(run))
    return _joined(known)


def _leaves(caches: Iterable[Any]) -> Iterable[Any]:
    for cache in caches:
        if isinstance(cache, CacheList):
            yield from _leaves(cache.caches)
        else:
            yield cache


def _known(cache: Any) -> SequenceSize | None:
    if isinstance(cache, ArraysCache):
        return SequenceSize(cache.nbytes)
    if isinstance(cache, RotatingKVCache):
        return _of_keys(cache, cache.max_size)
    if isinstance(cache, ChunkedKVCache):
        return _of_keys(cache, cache.chunk_size)
    return _of_keys(cache, None) if isinstance(cache, KVCache) else None


def _of_keys(cache: Any, most_tokens: int | None) -> SequenceSize:
    """Arrays are (B, H, tokens, D). Layers without attention leave theirs empty."""
    token_bytes = sum(
        array.nbytes // array.shape[2] for array in (cache.keys, cache.values) if array is not None
    )
    return SequenceSize(0, (Growth(token_bytes, most_tokens),))


def _by_shape(cache: Any) -> SequenceSize:
    """Of a cache that grows by steps, as mlx-lm's do."""
    arrays = _arrays(cache)
    growing = sum(array.nbytes for array in arrays if STEP in array.shape)
    return SequenceSize(sum(array.nbytes for array in arrays) - growing, (Growth(growing // STEP),))


def _measured(run: Callable[[int], Caches]) -> SequenceSize:
    short, long = (
        sum(
            array.nbytes
            for cache in _leaves(run(tokens))
            if _known(cache) is None
            for array in _arrays(cache)
        )
        for tokens in LENGTHS
    )
    token_bytes = (long - short) // (LENGTHS[1] - LENGTHS[0])
    return SequenceSize(short - token_bytes * LENGTHS[0], (Growth(token_bytes),))


def _arrays(cache: Any) -> list[mx.array]:
    leaves = dict(tree_flatten(cache.state)).values()
    return [leaf for leaf in leaves if isinstance(leaf, mx.array)]


def _joined(sizes: Sequence[SequenceSize]) -> SequenceSize:
    """Growths of one window together: there are as many as layers."""
    growing: dict[int | None, int] = {}
    for growth in (growth for size in sizes for growth in size.growths):
        growing[growth.most_tokens] = growing.get(growth.most_tokens, 0) + growth.token_bytes
    growths = tuple(Growth(token_bytes, most) for most, token_bytes in growing.items())
    return SequenceSize(sum(size.fixed_bytes for size in sizes), growths)
