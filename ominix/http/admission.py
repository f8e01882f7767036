"""Requests prepare their jobs one after the other, so that a crowd of them leaves room for others.

A thread that computes keeps Python's lock for milliseconds: with dozens of them, the one that reads sockets
would wait for all of them at its every call.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

WAIT_SECONDS = 0.1  # beside one that reads a large upload the others go on


class Admission:
    def __init__(self) -> None:
        # Not a mutex: limits how many requests compute at once, and gives up after WAIT_SECONDS. The pool's
        # locks are acquired under it, never the other way round.
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Wait for the others, at most WAIT_SECONDS."""
        held = self._lock.acquire(timeout=WAIT_SECONDS)
        try:
            yield
        finally:
            if held:
                self._lock.release()
