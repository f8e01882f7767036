"""What the system says of this process: the memory that it takes, and whether a load goes on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
import sys
from collections.abc import Callable
from pathlib import Path

_PROC = Path("/proc/self")  # Linux
# macOS: struct rusage_info_v0 of <sys/resource.h>; ri_phys_footprint lies behind a UUID and seven numbers.
_RUSAGE_INFO_V0, _RUSAGE_BYTES, _FOOTPRINT = 0, 96, 16 + 7 * 8
OOM_SCORE = 500  # of 1000, added: where the machine has no memory left, a worker goes and the server stays


def resident_bytes() -> int:
    """Memory that the system counts against this process, now.

    On macOS the physical footprint, by which it ends processes: buffers of Metal are in it and not in the
    resident size.
    """
    if sys.platform == "darwin":
        return footprint_bytes(ctypes.CDLL(None).proc_pid_rusage)
    return int((_PROC / "statm").read_text().split()[1]) * resource.getpagesize()


def footprint_bytes(proc_pid_rusage: Callable[[int, int, ctypes.Array[ctypes.c_char]], int]) -> int:
    """By the system's own call; the highest resident size if that fails."""
    info = ctypes.create_string_buffer(_RUSAGE_BYTES)
    if proc_pid_rusage(os.getpid(), _RUSAGE_INFO_V0, info) != 0:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return int(struct.unpack_from("<Q", info, _FOOTPRINT)[0])


def used_bytes() -> int:
    """Resident memory, or what mlx has in its arrays if that is more: a device may have memory of its own."""
    mlx = sys.modules.get("mlx.core")  # the engine's, if it has one; never imported here
    return max(resident_bytes(), int(mlx.get_active_memory()) if mlx else 0)


def moved_bytes() -> int:
    """Bytes read, and memory touched for the first time: it grows as long as a model is being loaded."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    touched = (usage.ru_minflt + usage.ru_majflt) * resource.getpagesize()
    read = 0
    with contextlib.suppress(OSError):  # not Linux, or not to be read: then the memory alone tells
        read = int((_PROC / "io").read_text().split()[1])
    return touched + read


def go_first() -> None:
    """Where memory runs out, the system is to end this process before the server."""
    with contextlib.suppress(OSError):
        (_PROC / "oom_score_adj").write_text(str(OOM_SCORE))
