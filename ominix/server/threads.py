"""Threads for questions and threads for work, so that neither starves the other.

A GET starts no work. So `/health` answers beside any crowd of jobs, and a flood of GETs holds up no job. Who
waits for a thread takes turns with other clients (fairness): a flood of one costs another at most a turn.
"""

from __future__ import annotations

from waitress.task import ThreadedTaskDispatcher

from ominix.errors import Unavailable
from ominix.fairness import FairQueue
from ominix.server.channels import Channel

QUESTION_THREADS = 4


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[Channel] = FairQueue(lambda channel: channel.client)

    def add_task(self, task: Channel) -> None:
        """As waitress does, without its warning that tasks wait: that is no news."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()


class Dispatcher:
    """Stands where waitress's dispatcher does."""

    def __init__(self, work_threads: int) -> None:
        """Raises Unavailable where the system has no room for so many threads."""
        self._work, self._questions = _Threads(), _Threads()
        try:
            self._work.set_thread_count(work_threads)
            self._questions.set_thread_count(QUESTION_THREADS)
        except RuntimeError:
            raise Unavailable(
                f"the system does not start {work_threads + QUESTION_THREADS} threads; "
                "fewer do for fewer requests at once (--jobs-per-worker)"
            ) from None

    def add_task(self, channel: Channel) -> None:
        (self._questions if channel.asks else self._work).add_task(channel)

    def shutdown(self, timeout_seconds: float) -> None:
        self._work.shutdown(timeout=timeout_seconds)
        self._questions.shutdown(timeout=timeout_seconds)
