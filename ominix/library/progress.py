"""How a download stands: the view of it, and what a running one has told. No processes, no files."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from ominix.library.child import Child, Report

SPEED_SECONDS = 5.0  # the speed is the mean over so long


@dataclass(frozen=True)
class Download:
    """How one stands. `state`: queued, downloading, verifying, interrupted, cancelled, failed or ready."""

    id: str
    repo_id: str
    state: str
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_per_second: int | None = None  # only while it runs here
    seconds_left: int | None = None
    reason: str | None = None
    message: str | None = None


class Running:
    """A download of this server: the reader thread tells it what the child says."""

    def __init__(self, model_id: str, repo_id: str) -> None:
        self.id = model_id
        self.repo_id = repo_id
        self.child: Child | None = None  # None: waits for its turn
        self.cancelled = False  # whoever does it removes the entry
        self.ending = False  # cancelled, or the child has said its last word: it is about to go
        self._last = Report("queued")
        self._marks: deque[tuple[float, int]] = deque(maxlen=64)

    def hear(self, report: Report) -> None:
        if report.state in ("ready", "failed"):  # seen by all once it has gone, from the records
            self.ending = True
            return
        self._last = report
        self._marks.append((time.monotonic(), report.done))

    def view(self, so_far: int) -> Download:
        last = self._last
        speed = self._speed()
        left = None
        if speed and last.total is not None:
            left = max(0, last.total - so_far) // speed
        return Download(
            self.id,
            self.repo_id,
            "downloading" if last.state == "queued" and self.child else last.state,
            bytes_done=so_far,
            bytes_total=last.total,
            bytes_per_second=speed if self.child else None,
            seconds_left=left,
        )

    def _speed(self) -> int:
        now = time.monotonic()
        recent = [mark for mark in list(self._marks) if now - mark[0] < SPEED_SECONDS]
        if not recent:
            return 0
        (begun, first), (_, last) = recent[0], recent[-1]
        return max(0, int((last - first) / max(now - begun, 0.1)))
