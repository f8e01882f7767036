"""How the sequences of a model may be computed together.

mlx-lm pads prompts of unequal length, and not every architecture is right then. Three ways, the fastest
first:

    PADDED     rows of all lengths go through the model together, the shorter ones padded
    UNPADDED   a step's pieces of prompts have one length. Recurrent states that know no lengths would read
               the padding as tokens. One pass of the model for each distinct length.
    ONE_ROW    one sequence at a time, on the caches that mlx-lm's own generate_step uses

Knows mlx-lm's caches, nothing of sequences.
"""

from __future__ import annotations

import copy
import enum
import functools
from collections.abc import Iterable
from typing import Any, ClassVar

from mlx import nn
from mlx_lm.models.cache import ChunkedKVCache, make_prompt_cache

Caches = list[Any]  # one per layer, of mlx-lm's many cache types


class Batching(enum.Enum):
    PADDED = "padded"
    UNPADDED = "unpadded"
    ONE_ROW = "one row"

    def most(self, sequences: int) -> int:
        """How many of `sequences` may be computed at once."""
        return 1 if self is Batching.ONE_ROW else sequences

    def new_caches(self, model: nn.Module) -> Caches:
        """Of an empty sequence, as the BatchGenerator takes them."""
        caches: Caches = make_prompt_cache(model)
        if self is Batching.ONE_ROW:
            for cache in caches:
                kind: Any = type(cache)  # mypy takes a type for unhashable
                cache.__class__ = _one_row(kind)
        return caches


def can_merge(caches: Iterable[Any]) -> bool:
    """Whether mlx-lm can make the caches of several sequences one. It asks the same way."""
    return all(hasattr(cache, "merge") for cache in caches)


class _OneRow:
    """What the BatchGenerator asks of a cache, of one that stays a single sequence's."""

    @staticmethod
    def merge(caches: Caches) -> Any:
        (only,) = caches
        return only

    def filter(self, rows: list[int]) -> None:
        assert rows == [0]

    def extract(self, row: int) -> Any:
        assert row == 0
        return copy.deepcopy(self)  # arrays are shared until one of the two writes


class _OneChunkedRow(_OneRow):
    start_position: ClassVar[int]

    def is_trimmable(self) -> bool:
        """mlx-lm says always; but what has left at the front does not come back."""
        return self.start_position == 0


@functools.cache
def _one_row(kind: Any) -> type[Any]:
    """A subclass, since models ask for their caches by type."""
    row = _OneChunkedRow if issubclass(kind, ChunkedKVCache) else _OneRow
    return type(f"OneRow{kind.__name__}", (row, kind), {})
