"""Which jobs stand still. In: what the engine says of the jobs that it works on. Out: those without progress.

A worker that says nothing is the server's to end. This is for the other case: the worker is alive and steps
on, and one of its jobs never gets further. A job that waits for its turn is not in what the engine says, and
as long as it likes may it wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

# However short the limit is: a decode child on a busy machine needs seconds to start.
LEAST_SECONDS = 10.0


class StallWatch:
    """Not thread-safe. To be looked at about once a second."""

    def __init__(self, stall_seconds: float, clock: Callable[[], float]) -> None:
        self.limit_seconds = max(stall_seconds, LEAST_SECONDS)
        self._clock = clock
        self._seen: dict[int, tuple[int, float]] = {}  # by job: its progress, and since when it has been that

    def look(self, progress: Mapping[int, int]) -> list[int]:
        """The jobs whose progress has been the same for longer than the limit."""
        now = self._clock()
        before = self._seen
        self._seen = {}
        for job_id, amount in progress.items():
            known = before.get(job_id)
            self._seen[job_id] = known if known and known[0] == amount else (amount, now)
        return [job_id for job_id, (_, since) in self._seen.items() if now - since > self.limit_seconds]

    @property
    def longest_seconds(self) -> float:
        """How long the job that stands still for longest has done so, as of the last look."""
        now = self._clock()
        return max((now - since for _, since in self._seen.values()), default=0.0)
