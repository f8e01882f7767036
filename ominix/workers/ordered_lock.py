"""The order of the server's locks, checked at every acquire.

    1 POOL      which worker serves which model
    2 WORKER    one worker's jobs and how it ended

A thread that holds a lock may only take one further down. Nothing is waited for, sent, spawned or computed
under them, so each is held for microseconds. (An outbox has a lock of its own, taken with none of these
held.)
"""

from __future__ import annotations

import threading
from types import TracebackType

POOL, WORKER = 1, 2

_held = threading.local()


def held() -> tuple[int, ...]:
    """The ranks of the locks that this thread has, outermost first."""
    ranks: tuple[int, ...] = getattr(_held, "ranks", ())  # a new thread has no attribute yet
    return ranks


class OrderedLock:
    """A mutex that refuses to be taken out of order, also when no other thread is there to deadlock with."""

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        ranks = held()
        assert not ranks or ranks[-1] < self._rank, f"lock {self._rank} is taken under lock {ranks[-1]}"
        self._lock.acquire()
        _held.ranks = (*ranks, self._rank)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _held.ranks = held()[:-1]
        self._lock.release()
