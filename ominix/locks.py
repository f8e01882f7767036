"""Advisory locks on folders, between processes and between threads: who works in a folder holds it.

A lock goes with its process, however it ends, so none is ever left over. Knows nothing of models.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

WAIT_SECONDS = 0.005  # between two tries


class Held(Exception):
    """Somebody else has the lock."""


def acquire(folder: Path, *, shared: bool = False, seconds: float = 0.0) -> int:
    """The descriptor that holds the lock until it is closed. Raises Held after `seconds`, OSError.

    The folder is looked at again once the lock is there: it may have been renamed or removed meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Held from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(WAIT_SECONDS)


@contextlib.contextmanager
def held(folder: Path, *, shared: bool = False, seconds: float = 0.0) -> Iterator[None]:
    """As `acquire`, for a block."""
    descriptor = acquire(folder, shared=shared, seconds=seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path, *, shared: bool = False) -> bool:
    """Whether somebody has it: anybody, or with `shared` somebody who wants it alone."""
    try:
        os.close(acquire(folder, shared=shared))
    except Held:
        return True
    except OSError:  # not there
        return False
    return False
