"""How many threads OpenBLAS works with: as many as pay while other programs want the cores too.

Its threads wait for each other in a loop, so that a single one that has lost its core to another
program holds up all of them: measured with a busy neighbour, two threads were four times as slow as
one. So a small product is timed now and then; what it says counts when it says so twice, since a moment in
which requests arrive is no neighbour. Knows nothing of mlx.
"""

from __future__ import annotations

import contextlib
import ctypes
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from ominix.cpu import kernels

ROWS, SIZE = 64, 1024  # of the timed product: 2 ms on one core
ROUNDS = 3
FULL_SECONDS, FEWER_SECONDS = 4.0, 2.0  # between two timings, with all threads and with fewer
DOUBT_SECONDS = 0.2  # before a timing that said something new is made again


class Threads:
    """Raises AttributeError where no OpenBLAS is loaded: see `find`."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._set: Callable[[int], None] = library["openblas_set_num_threads"]
        self.most = int(library["openblas_get_num_threads"]())
        self.now = self._said = self.most
        self._due = 0.0
        self._a, self._b = np.ones((ROWS, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)

    @property
    def due(self) -> bool:
        return self.most > 1 and time.monotonic() >= self._due

    def tune(self) -> None:
        """Call when due, while nothing else computes."""
        self._hear(self._fastest())
        self._set(self.now)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """For work of a second that no timing precedes: beside busy neighbours two threads took eight times
        the work of one."""
        self._set(1)
        try:
            yield
        finally:
            self._set(self.now)

    def _hear(self, count: int) -> None:
        """A timing says that so many are best."""
        before, self._said = self._said, count
        if count == before:
            self.now = count
        settled = count == self.now
        wait = DOUBT_SECONDS if not settled else FULL_SECONDS if self.now == self.most else FEWER_SECONDS
        self._due = time.monotonic() + wait

    def _fastest(self) -> int:
        """How many threads multiply fastest at this moment."""
        fastest, best = 1, self._seconds(1, bound=60.0)
        count = self.most
        while count > 1:
            seconds = self._seconds(count, bound=best)
            if seconds < best:
                fastest, best = count, seconds
            count //= 2
        return fastest

    def _seconds(self, count: int, bound: float) -> float:
        """The median of a few products: one that lost its core does not count. Gives up at the bound."""
        self._set(count)
        begun = time.perf_counter()
        self._product()  # wakes the threads
        if time.perf_counter() - begun > 4 * bound:
            return 4 * bound
        taken = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            self._product()
            taken.append(time.perf_counter() - begun)
        return statistics.median(taken)

    def _product(self) -> None:
        self._c = kernels.product(self._a, self._b)


def find() -> Threads | None:
    """None where there is nothing to choose: another backend, another BLAS."""
    try:
        return Threads()
    except AttributeError:
        return None
