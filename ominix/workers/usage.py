"""What the system says of this process: the memory that it takes, and whether a load goes on."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_PROC = Path("/proc/self")  # Linux
OOM_SCORE = 500  # of 1000, added: where the machine has no memory left, a worker goes and the server stays


def resident_bytes() -> int:
    """Memory of this process: now on Linux, at its highest on macOS (there is no cheap reading)."""
    statm = _PROC / "statm"
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def used_bytes() -> int:
    """Resident memory, or what mlx has in its arrays if that is more: on a Mac they may not be counted."""
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
