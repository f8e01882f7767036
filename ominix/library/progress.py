"""How a download stands. In: the updates of its child. Out: bytes, bytes a second, seconds left.

Starts no process and reads no file: `downloads` does.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from ominix.library.child import ChildUpdate, Fetcher

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
    """A download that this server runs. The thread that follows its child applies the updates."""

    def __init__(self, model_id: str, repo_id: str) -> None:
        self.id = model_id
        self.repo_id = repo_id
        self.child: Fetcher | None = None  # None: waits for its turn
        self.cancelled = False  # whoever does it removes the entry
        self.ending = False  # cancelled, or the child has sent its last update
        self.last_update = ChildUpdate("queued")
        self._last = self.last_update  # but for the one that ends it
        self._marks: deque[tuple[float, int]] = deque(maxlen=64)

    def apply(self, update: ChildUpdate) -> None:
        self.last_update = update
        if update.state in ("ready", "failed"):  # seen by all once it has gone, from the records
            self.ending = True
            return
        self._last = update
        self._marks.append((time.monotonic(), update.done_bytes))

    def view(self, so_far: int) -> Download:
        last = self._last
        speed = self._speed()
        left = None
        if speed and last.total_bytes is not None:
            left = max(0, last.total_bytes - so_far) // speed
        return Download(
            self.id,
            self.repo_id,
            "downloading" if last.state == "queued" and self.child else last.state,
            bytes_done=so_far,
            bytes_total=last.total_bytes,
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
