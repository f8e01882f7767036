"""Prompts made beside the engine: jobs in, their prompts out, on a thread of their own.

A template may compute for a second and a long text may be tokenized for longer (both let Python's lock go).
On the engine's thread that would be a pause in everybody's answer. Clients take turns (fairness), each in the
order in which it asked; what is cancelled is not made any more. The engine's thread alone calls the methods.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from ominix.engines.text.prompts import Prompt
from ominix.fairness import FairQueue
from ominix.wire.jobs import ChatJob


@dataclass(frozen=True)
class Prepared:
    prompt: Prompt
    boundaries: tuple[int, ...]  # beginnings of the prompt whose caches are kept; see plan.Sequence


@dataclass(frozen=True)
class Outcome:
    """`prepared` is None where `error` says why."""

    job_id: int
    job: ChatJob
    prepared: Prepared | None
    error: BaseException | None  # pyo3's panics are no Exceptions


class Preparation:
    def __init__(self, prepare: Callable[[ChatJob], Prepared]) -> None:
        """`prepare` is called on the thread, one job at a time."""
        self._prepare = prepare
        self._thread = ThreadPoolExecutor(1, "prompts")
        self._futures: dict[int, tuple[ChatJob, Future[Prepared]]] = {}  # by job id, in order
        self._waiting: FairQueue[int] = FairQueue(lambda job_id: self._futures[job_id][0].caller.client)
        self._at_work: int | None = None
        self._lock = threading.Lock()  # guards the two above where the thread chooses

    @property
    def at_work(self) -> int | None:
        """The job whose prompt is being made, a cancelled one too: a tokenizer that hangs goes on."""
        return self._at_work

    @property
    def idle(self) -> bool:
        return not self._futures

    def submit(self, job_id: int, job: ChatJob) -> None:
        with self._lock:
            self._futures[job_id] = job, Future()
            self._waiting.append(job_id)
        self._thread.submit(self._run_next)

    def _run_next(self) -> None:
        """On the thread, once for each job that came: after a cancelled one a call finds none."""
        with self._lock:
            if not self._waiting:
                return
            self._at_work = self._waiting.popleft()
            job, future = self._futures[self._at_work]
            future.set_running_or_notify_cancel()
        try:
            prepared = self._prepare(job)
        except BaseException as error:  # as an executor's own future has it
            self._at_work = None
            future.set_exception(error)
        else:
            self._at_work = None
            future.set_result(prepared)

    def cancel(self, job_id: int) -> None:
        """Forget a job; unknown ids are ignored."""
        with self._lock:
            _, future = self._futures.get(job_id, (None, None))
            if future and not (future.running() or future.done()):
                self._waiting.remove(job_id)
            self._futures.pop(job_id, None)

    def done(self, wait_seconds: float) -> list[Outcome]:
        """Those that are done by now, in order; waits so long for the first."""
        futures = [future for _, future in self._futures.values()]
        if wait_seconds and futures:
            wait(futures, wait_seconds, FIRST_COMPLETED)
        done = [job_id for job_id, (_, future) in self._futures.items() if future.done()]
        return [self._outcome(job_id) for job_id in done]

    def _outcome(self, job_id: int) -> Outcome:
        job, future = self._futures.pop(job_id)
        error = future.exception()
        return Outcome(job_id, job, None if error else future.result(), error)
