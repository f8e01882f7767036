"""The events of one job on their way from a worker's reader to the thread of its request."""

from __future__ import annotations

import queue
from collections.abc import Callable

from ominix.errors import InferenceFailed, InputFailed, JobRefused, OminixError
from ominix.wire.events import LAST, Event, Failed, Refused


class Stream:
    """In order, for one reader. Ends after one of `events.LAST` or an error."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._queue: queue.SimpleQueue[Event | OminixError] = queue.SimpleQueue()
        self.ended = False

    def put(self, item: Event | OminixError) -> None:
        self._queue.put(item)

    def get(self, timeout_seconds: float) -> list[Event]:
        """All events there are, waiting for the first; [] when none came in time.

        Raises the job's error: JobRefused, InferenceFailed, WorkerCrashed or Unavailable. Events that
        came before the error are given first; the next call raises it.
        """
        events: list[Event] = []
        try:
            item = self._queue.get(timeout=timeout_seconds)
            while True:
                error = _error(item)
                if error and events:
                    self._queue.put(item)  # nothing follows an error: order holds
                    return events
                if error:
                    self.ended = True
                    raise error
                assert not isinstance(item, OminixError)
                events.append(item)
                self.ended = isinstance(item, LAST)
                item = self._queue.get_nowait()
        except queue.Empty:
            return events

    def close(self) -> None:
        """Cancel the job unless it has ended. May be called more than once."""
        if not self.ended:
            self.ended = True
            self._cancel()


def _error(item: Event | OminixError) -> OminixError | None:
    if isinstance(item, OminixError):
        return item
    if isinstance(item, Refused):
        return JobRefused(item.message, param=item.param, code=item.code)
    if isinstance(item, Failed):
        return InputFailed(item.message) if item.is_final else InferenceFailed(item.message)
    return None
