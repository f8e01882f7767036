"""How much memory there is, and how much of it sequences take.

Knows mlx's arrays and the machine, nothing of jobs.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import get_total_parameters

from ominix.cpu import door
from ominix.engines import growth
from ominix.engines.growth import SequenceSize

MOST_TOKENS = 1 << 24  # of a sequence, where neither memory nor the model bounds it

_DEVICE_SIZES = ("max_recommended_working_set_size", "total_memory", "memory_size")  # Metal's; CUDA's
_WEIGHTS_SHARE = 0.7  # of the free memory
_FREED_BYTES = 512 << 20  # freed arrays that mlx may hold on to


@dataclass(frozen=True)
class MemoryLimits:
    """What may be taken for caches, and what a sequence takes."""

    running_bytes: int  # for all sequences of the batch
    kept_bytes: int  # for prefixes that are kept for later
    sequence: SequenceSize

    def holds(self, sequences: int, tokens: int) -> bool:
        """A batch pads every sequence to the longest, `tokens`."""
        return sequences * self.sequence.bytes_of(tokens) <= self.running_bytes

    @property
    def most_tokens(self) -> int:
        """Of one sequence alone."""
        return self.sequence.most_tokens(self.running_bytes, MOST_TOKENS)


def measure(model: nn.Module, kept_bytes: int | None) -> MemoryLimits:
    """Runs the model on one token. An eighth of what is free, at most 4 GiB, goes to kept prefixes."""
    mx.set_cache_limit(_FREED_BYTES)

    def run(tokens: int) -> list[Any]:
        caches: list[Any] = make_prompt_cache(model)
        mx.eval(model(mx.array([[0] * tokens]), cache=caches), [cache.state for cache in caches])
        return caches

    size = growth.of(run(1), run)
    free = free_bytes()
    return MemoryLimits(
        running_bytes=running_bytes(),
        kept_bytes=min(free // 8, 4 << 30) if kept_bytes is None else kept_bytes,
        sequence=size,
    )


def running_bytes() -> int:
    """For running sequences: half of what is free, since merging caches holds them twice for a moment.

    Also bounds what mlx keeps of freed arrays, which would count as taken.
    """
    mx.set_cache_limit(_FREED_BYTES)
    return free_bytes() // 2


def holds_float32(model: nn.Module, log: logging.Logger) -> bool:
    """Whether there is memory for the model's weights as float32; if not, the log says so."""
    needed = 4 * int(get_total_parameters(model))
    fits = needed <= free_bytes() * _WEIGHTS_SHARE
    if not fits:
        log.warning("weights stay as they are, which is slow: as float32 they take %d MiB", needed >> 20)
    return fits


def free_bytes() -> int:
    """Memory that new arrays may take: of the GPU where there is one, else of machine or container."""
    if sys.platform == "linux" and door.on_cpu():
        bounds = [_machine_bytes(), *_container_bytes()]
        return max(0, min(bounds))
    info = mx.device_info()
    size = next((int(info[name]) for name in _DEVICE_SIZES if info.get(name)), 8 << 30)
    return max(0, size - mx.get_active_memory())


def _machine_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kibibytes << 10


def _container_bytes() -> list[int]:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return []
    return [int(limit) - int(used)] if limit.isdigit() else []
