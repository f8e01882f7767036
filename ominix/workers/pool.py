"""The pool: which worker process serves which model. Starts them when asked, never restarts by itself.

Knows processes, not pipes; models by their catalog entry; no mlx, no HTTP.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ominix.errors import Busy, Conflict, Unavailable, WorkerCrashed
from ominix.library.catalog import Model
from ominix.wire.control import EngineSpec
from ominix.wire.jobs import Job
from ominix.workers.process import Stream, WorkerProcess

MAX_WORKERS = 4  # processes at once; the least recently used idle one makes room for another
FAILURE_SECONDS = 60.0  # how long a failed start counts against the server's health

log = logging.getLogger("ominix.workers")


@dataclass(frozen=True)
class WorkerState:
    """What /health says of one model. `state`: loading, ready, stalled, failed or ended."""

    state: str
    jobs: int
    reason: str | None = None


@dataclass(frozen=True)
class Residency:
    """How long models stay: their memory together, the idle time that ends one, ids that never go."""

    memory_bytes: int | None = None  # None: no bound
    keep_alive_seconds: float | None = None  # None: idle models stay
    pinned: frozenset[str] = frozenset()


class Pool:
    """Thread-safe. `jobs_per_worker` bounds what one worker holds, running and waiting together."""

    def __init__(
        self,
        *,
        jobs_per_worker: int,
        stall_seconds: float,
        limit_bytes: int | None = None,
        residency: Residency | None = None,
    ) -> None:
        self.capacity = MAX_WORKERS * jobs_per_worker
        self._jobs_per_worker = jobs_per_worker
        self._stall_seconds = stall_seconds
        self._limit_bytes = limit_bytes
        self._residency = residency or Residency()
        self._workers: dict[str, WorkerProcess] = {}
        self._last_used: dict[str, float] = {}
        # Bytes by model: its files' size until a worker has told what it takes (on a CPU up to 7 times more).
        self._needs: dict[str, int] = {}
        self._barred: set[str] = set()
        # Guards all of these. Spawning under it takes a millisecond; no pipe and no other lock is waited for.
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
        """The model's living worker, started if need be. Raises Busy, Unavailable."""
        with self._lock:
            if self.draining:
                raise Unavailable("the server is shutting down", code="shutting_down")
            if model.id in self._barred:
                raise Unavailable(f"{model.id} is being deleted", code="model_unavailable")
            worker = self._workers.get(model.id)
            if worker is None or worker.end_reason is not None:
                self._needs.setdefault(model.id, model.size_bytes)
                self._make_room(model.id)
                worker = self._workers[model.id] = self._start(model)
            self._last_used[model.id] = time.monotonic()
        return worker

    def _start(self, model: Model) -> WorkerProcess:
        log.info("%s: starting a worker", model.id)
        spec = EngineSpec(
            kind=model.kind,
            path=str(model.path),
            package=model.package,
            slots=self._jobs_per_worker,
            limit_bytes=self._limit_bytes,
        )
        return WorkerProcess(model.id, spec, self._stall_seconds, self._look)

    def _make_room(self, for_id: str) -> None:
        """Under the lock. Raises Busy when what is in the way may go later, Unavailable when it will not."""
        need = self._needs[for_id]
        budget = self._residency.memory_bytes
        while True:
            others = self._alive(for_id)
            too_large = budget is not None and need + sum(map(self._needs.__getitem__, others)) > budget
            if not too_large and len(others) < MAX_WORKERS:
                return
            if not self._retire_one(others, "was unloaded to make room for another model"):
                break
        staying = [name for name in others if name in self._residency.pinned]
        if len(others) >= MAX_WORKERS or len(staying) < len(others):
            raise Busy("The models that are loaded are busy; try again shortly.")
        raise Unavailable(
            f"{for_id} needs about {need / 1e9:.1f} GB of memory; models may take "
            f"{(budget or 0) / 1e9:.1f} GB together (--memory-gib)"
            f"{', and pinned ones stay' if staying else ''}.",
            code="model_too_large",
        )

    def _alive(self, but: str) -> dict[str, WorkerProcess]:
        return {k: w for k, w in self._workers.items() if w.end_reason is None and k != but}

    def _retire_one(self, workers: dict[str, WorkerProcess], reason: str) -> bool:
        """Under the lock: end the least recently used of these that is idle and may go."""
        for name in sorted(workers, key=self._last_used.__getitem__):
            may_go = workers[name].loaded and name not in self._residency.pinned
            if may_go and workers[name].retire(reason):
                del self._workers[name]
                return True
        return False

    def _look(self, worker: WorkerProcess) -> None:
        """Called by a worker's reader a few times a second: what it takes, how long it has been idle."""
        keep_alive, budget = self._residency.keep_alive_seconds, self._residency.memory_bytes
        with self._lock:
            name = worker.name
            if self._workers.get(name) is not worker:
                return
            if worker.used_bytes:
                self._needs[name] = worker.used_bytes
            if keep_alive is not None and worker.idle_seconds > keep_alive:
                self._retire_one({name: worker}, f"was unloaded after {keep_alive:g} s without requests")
            if budget is None:
                return
            others = self._alive(name)
            while self._needs[name] + sum(map(self._needs.__getitem__, others)) > budget:
                if not self._retire_one(others, "was unloaded: the models together took too much memory"):
                    return
                others = self._alive(name)

    def unload(self, model_id: str) -> bool:
        """End the model's worker; its memory is back afterwards. False when it has none.

        Raises Conflict while it has jobs aboard, or if it is pinned.
        """
        with self._lock:
            worker = self._workers.get(model_id)
            if worker is None or worker.end_reason is not None:
                return False
            if model_id in self._residency.pinned:
                raise Conflict(f"{model_id} is pinned (--pin): it stays.", code="model_pinned")
            if not worker.retire("was unloaded"):
                raise Conflict(f"{model_id} has requests aboard; wait for them.", code="model_busy")
            del self._workers[model_id]
        worker.join(5.0)
        return True

    @contextlib.contextmanager
    def without(self, model_id: str) -> Iterator[None]:
        """Nobody can load the model meanwhile. Raises Conflict if it is loaded."""
        with self._lock:
            worker = self._workers.get(model_id)
            if worker is not None and worker.end_reason is None:
                raise Conflict(
                    f"The model '{model_id}' is loaded; unload it first (POST /v1/models/{model_id}/unload).",
                    code="model_loaded",
                )
            if model_id in self._barred:
                raise Conflict(f"The model '{model_id}' is being deleted already.", code="model_loaded")
            self._barred.add(model_id)
        try:
            yield
        finally:
            with self._lock:
                self._barred.discard(model_id)

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
