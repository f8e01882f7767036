"""Memory of large bodies goes back to the system when they are done with.

glibc keeps freed blocks of up to 32 MiB, once it has seen such, in an arena for each few threads: a dozen
bodies of 25 MiB left 675 MiB in an idle server. With a fixed threshold larger blocks are mapped one by one.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3  # malloc.h
MAPPED_BYTES = 1 << 20


def return_large_blocks() -> bool:
    """For this process. False where the C library has no such setting, as on macOS."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES))
