"""The pool: which worker process serves which model. Starts them when asked, never restarts by itself.

Knows processes, not pipes; models by their catalog entry; no mlx, no HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from ominix.catalog import Model
from ominix.errors import Busy, Unavailable, WorkerCrashed
from ominix.jobs import EngineSpec, Job
from ominix.pool.process import Stream, WorkerProcess

MAX_WORKERS = 4  # processes at once; the least recently used idle one makes room for another
FAILURE_SECONDS = 60.0  # how long a failed start counts against the server's health

log = logging.getLogger("ominix.pool")


@dataclass(frozen=True)
class WorkerState:
    """What /health says of one model. `state`: loading, ready, stalled, failed or ended."""

    state: str
    jobs: int
    reason: str | None = None


class Pool:
    """Thread-safe. `jobs_per_worker` bounds what one worker holds, running and waiting together."""

    def __init__(self, *, jobs_per_worker: int, stall_seconds: float, limit_bytes: int | None = None) -> None:
        self.capacity = MAX_WORKERS * jobs_per_worker
        self._jobs_per_worker = jobs_per_worker
        self._stall_seconds = stall_seconds
        self._limit_bytes = limit_bytes
        self._workers: dict[str, WorkerProcess] = {}
        self._last_used: dict[str, float] = {}
        # Guards _workers and _last_used. Spawning under it takes a millisecond; no pipe is waited on.
        self._lock = threading.Lock()
        self.draining = False

    def submit(self, model: Model, job: Job) -> Stream:
        """The job's events. Raises Busy or Unavailable; starts the model's worker when there is none."""
        while True:
            worker = self.load(model)
            try:
                return worker.submit(job)
            except (WorkerCrashed, Unavailable):
                continue  # it died between the two calls; the job was never aboard

    def load(self, model: Model) -> WorkerProcess:
        """The model's living worker, started if need be."""
        with self._lock:
            if self.draining:
                raise Unavailable("the server is shutting down", code="shutting_down")
            worker = self._workers.get(model.id)
            if worker is None or worker.end_reason is not None:
                retired = self._make_room(model.id)
                worker = self._workers[model.id] = self._start(model)
            else:
                retired = None
            self._last_used[model.id] = time.monotonic()
        if retired is not None:
            retired.kill("was unloaded to make room for another model")
        return worker

    def _start(self, model: Model) -> WorkerProcess:
        log.info("%s: starting a worker", model.id)
        spec = EngineSpec(
            kind=model.kind,
            path=str(model.path),
            slots=self._jobs_per_worker,
            limit_bytes=self._limit_bytes,
        )
        return WorkerProcess(model.id, spec, self._stall_seconds)

    def _make_room(self, for_id: str) -> WorkerProcess | None:
        alive = {k: w for k, w in self._workers.items() if w.end_reason is None and k != for_id}
        if len(alive) < MAX_WORKERS:
            return None
        idle = [k for k, w in alive.items() if not w.jobs_aboard]
        if not idle:
            raise Busy(f"{MAX_WORKERS} models are busy; try again shortly")
        return self._workers.pop(min(idle, key=self._last_used.__getitem__))

    def unload(self, model_id: str) -> bool:
        """End the model's worker. False when it has none. Raises nothing; jobs aboard fail."""
        with self._lock:
            worker = self._workers.pop(model_id, None)
        if worker is None or worker.end_reason is not None:
            return False
        worker.kill("was unloaded")
        worker.join(5.0)
        return True

    def states(self) -> dict[str, WorkerState]:
        with self._lock:
            workers = dict(self._workers)
        return {name: self._state(worker) for name, worker in workers.items()}

    def _state(self, worker: WorkerProcess) -> WorkerState:
        jobs = worker.jobs_aboard
        if worker.end_reason is not None:
            recent = time.monotonic() - worker.last_heard < FAILURE_SECONDS
            state = "failed" if not worker.loaded and recent else "ended"
            return WorkerState(state, jobs, worker.end_reason)
        if worker.loaded and worker.silent_seconds > self._stall_seconds / 2:
            return WorkerState("stalled", jobs, f"silent for {worker.silent_seconds:.0f} s")
        return WorkerState("ready" if worker.loaded else "loading", jobs)

    def loaded(self) -> frozenset[str]:
        """Ids of the models that a living worker holds."""
        states = self.states().items()
        return frozenset(name for name, s in states if s.state in ("ready", "stalled"))

    @property
    def jobs_aboard(self) -> int:
        with self._lock:
            return sum(worker.jobs_aboard for worker in self._workers.values())

    def close(self) -> None:
        """End every worker. Jobs aboard fail."""
        with self._lock:
            self.draining = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.kill("the server is shutting down")
        for worker in workers:
            worker.join(5.0)
