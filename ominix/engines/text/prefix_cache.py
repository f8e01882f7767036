"""Caches of what was computed before, to begin a new prompt from: a bounded, least recently used few.

A cache that can be trimmed serves every prompt that begins as its tokens do; one that cannot
(recurrent states, a sliding window that has moved on) serves only prompts that begin with all of
them. An entry serves its own tenant alone: how much of a prompt is known would tell others, word by word,
what somebody had asked. The bound holds for all tenants together. Knows nothing about text or jobs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache
from numpy.typing import NDArray

from ominix.engines.text.batching import Caches


@dataclass(frozen=True, eq=False)
class _Entry:
    tenant: str
    tokens: NDArray[np.int32]
    caches: Caches
    size_bytes: int
    trims: bool

    def usable(self, prompt: NDArray[np.int32]) -> int:
        """How many of the prompt's tokens this saves; its last one is always computed."""
        n = common(self.tokens, prompt)
        if self.trims:
            return min(n, len(prompt) - 1)
        return n if n == len(self.tokens) < len(prompt) else 0


class PrefixCache:
    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: list[_Entry] = []  # the least recently used first

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._entries)

    def saved_tokens(self, prompt: Sequence[int], tenant: str = "") -> int:
        """How many tokens `get` would find, as things are."""
        wanted = np.array(prompt, np.int32)
        return max((entry.usable(wanted) for entry in self._of(tenant)), default=0)

    def _of(self, tenant: str) -> list[_Entry]:
        return [entry for entry in self._entries if entry.tenant == tenant]

    def get(self, prompt: Sequence[int], tenant: str = "") -> tuple[Caches | None, int]:
        """Copies of the caches of the longest known beginning, and how many tokens they hold."""
        wanted = np.array(prompt, np.int32)
        best = max(self._of(tenant), key=lambda entry: entry.usable(wanted), default=None)
        size = best.usable(wanted) if best else 0
        if best is None or size == 0:
            return None, 0
        self._entries.remove(best)
        self._entries.append(best)
        caches = copy.deepcopy(best.caches)  # arrays are shared until one of the two writes
        if size < len(best.tokens):
            trim_prompt_cache(caches, len(best.tokens) - size)
        return caches, size

    def put(self, tokens: Sequence[int], caches: Caches, tenant: str = "") -> None:
        """Keep the caches, which hold exactly these tokens."""
        mx.eval([cache.state for cache in caches])  # cut loose from the batch they came out of
        size_bytes = sum(cache.nbytes for cache in caches)
        trims = can_trim_prompt_cache(caches)
        new = _Entry(tenant, np.array(tokens, np.int32), caches, size_bytes, trims)
        if size_bytes > self._limit_bytes:
            return
        self._entries = [old for old in self._entries if not _covers(new, old)]
        if not any(_covers(old, new) for old in self._entries):
            self._entries.append(new)
        while self.size_bytes > self._limit_bytes:
            self._entries.pop(0)


def common(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """How many tokens both begin with."""
    n = min(len(a), len(b))
    differences = np.flatnonzero(a[:n] != b[:n])
    return int(differences[0]) if differences.size else n


def _covers(long: _Entry, short: _Entry) -> bool:
    """The first does all that the second can do."""
    if long.tenant != short.tenant:
        return False
    begins = common(long.tokens, short.tokens) == len(short.tokens)
    return begins and (long.trims or len(long.tokens) == len(short.tokens))
