"""A simulated clock and what is due on it: what the simulated worlds share."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class SimulatedTime:
    """A world's clock, agenda and dice, of one seed."""

    def __init__(self, seed: int, check_seconds: float) -> None:
        """`check_seconds`: between two looks at the world's promises."""
        self.dice = random.Random(seed)
        self.now = 0.0
        self.outcomes: dict[str, int] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._check_seconds = check_seconds
        self._next_check = 0.0

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._count, call))

    def run(self, seconds: float) -> None:
        """May be called again by what it calls, so the clock can be beyond the end when that returns."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, call = heapq.heappop(self._agenda)
            call()
            if self.now >= self._next_check:
                self._next_check = self.now + self._check_seconds
                self.check()
        self.now = max(self.now, end)

    def check(self) -> None:
        """Raises AssertionError if a promise is broken."""
        raise NotImplementedError

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
