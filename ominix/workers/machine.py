"""How much memory this machine has, and how much of it models may take together."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

MODELS_SHARE = 0.75  # of the machine's memory
# What Metal recommends a GPU to hold of a Mac's memory, by reports from Macs of 8 to 192 GiB: two thirds,
# three quarters above 36 GiB. Beyond it the system swaps, or ends what computes.
GPU_SHARE, LARGE_GPU_SHARE, LARGE_BYTES = 2 / 3, 0.75, 36 << 30
WIRED_LIMIT = "iogpu.wired_limit_mb"  # an operator's own number, in MiB; 0: as above

Sysctl = Callable[[str], int | None]


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def models_bytes() -> int:
    """What all models may take together unless the operator says otherwise."""
    if sys.platform == "darwin":
        return mac_models_bytes(memory_bytes(), sysctl)
    return int(memory_bytes() * MODELS_SHARE)


def mac_models_bytes(memory: int, ask: Sysctl) -> int:
    """The operator's limit for the GPU if there is one, else what Metal recommends."""
    if wired_mib := ask(WIRED_LIMIT):
        return min(wired_mib << 20, memory)
    return int(memory * (LARGE_GPU_SHARE if memory > LARGE_BYTES else GPU_SHARE))


def sysctl(name: str) -> int | None:
    """A number of macOS by its name (sysctl(3)); None where there is none."""
    value, size = ctypes.c_uint64(0), ctypes.c_size_t(8)
    found = ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return value.value if found == 0 else None
