"""A small file that anybody may have put there: read whole, or refused. Never waits, never reads without end.

A name may lead to a pipe, a device or gigabytes, and may do so only since somebody looked at it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read(path: Path, max_bytes: int) -> bytes:
    """Raises OSError; ValueError for what is no plain file or larger, with words to put after its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a plain file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise ValueError(f"is larger than {max_bytes >> 20} MiB")
    return data
