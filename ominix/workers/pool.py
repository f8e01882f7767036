"""The pool: which worker process serves which model. Starts them when asked, never restarts by itself.

    load, submit --> is one alive? --no--> make room --> starting --> ready (its states: process.py)
                         | yes                 |
                         v                     |  the least recently used idle one goes;
                     its stream                v  if none may go: Busy, or Unavailable if it never fits
                                            retired

A model counts with the size of its files until its worker has reported its memory. News of memory
come from each worker's reader, about once a second while it works and when it falls idle; whoever brings it
makes room for itself, and that is how the budget holds without a thread that supervises. The same call ends
a worker that was idle for too long. A busy or pinned one never goes.

The clock and the way to spawn come by constructor, so thousands of lives run on a simulated clock in a
test. Knows workers, not sockets; models by what `Loadable` says; no mlx, no HTTP.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec import structs

from ominix.errors import Busy, Conflict, Unavailable, WorkerCrashed
from ominix.fairness import guests
from ominix.wire.control import EngineSpec, Loadable
from ominix.wire.jobs import Job
from ominix.workers.ordered_lock import POOL, OrderedLock
from ominix.workers.process import Process, WorkerProcess
from ominix.workers.spawned import SpawnedProcess
from ominix.workers.stream import Stream

MAX_WORKERS = 4  # processes at once; the least recently used idle one makes room for another
FAILURE_SECONDS = 60.0  # how long a failed start counts against the server's health
END_SECONDS = 5.0  # how long the end of a worker is waited for

log = logging.getLogger("ominix.workers")


@dataclass(frozen=True)
class WorkerState:
    """What /health says of one model. `state`: loading, ready, stalled, failed or ended."""

    state: str
    jobs: int
    reason: str | None = None
    memory_bytes: int = 0  # 0: not told yet
    idle_seconds: float | None = None  # since its last job; None: it has one, or is not ready


@dataclass(frozen=True)
class Residency:
    """How long models stay: their memory together, the idle time that ends one, ids that never go."""

    memory_bytes: int | None = None  # None: no bound
    keep_alive_seconds: float | None = None  # None: idle models stay
    pinned: frozenset[str] = frozenset()


class Pool:
    """Thread-safe. `jobs_per_worker` bounds what one worker holds, running and waiting together; guests
    come beside them (process)."""

    def __init__(
        self,
        *,
        jobs_per_worker: int,
        stall_seconds: float,
        limit_bytes: int | None = None,
        cpu: str = "fast",
        log_json: bool = False,
        max_audio_seconds: float = 6 * 3600.0,
        raw_prompts: bool = False,
        residency: Residency | None = None,
        spawn: Callable[[str, EngineSpec], Process] = SpawnedProcess,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = MAX_WORKERS * (jobs_per_worker + guests(jobs_per_worker))
        self.draining = False
        self._jobs_per_worker = jobs_per_worker
        self._stall_seconds = stall_seconds
        self._limit_bytes = limit_bytes
        self._cpu = cpu
        self._log_json = log_json
        self._max_audio_seconds = max_audio_seconds
        self._raw_prompts = raw_prompts
        self._residency = residency or Residency()
        self._spawn = spawn
        self._clock = clock
        self._workers: dict[str, WorkerProcess] = {}
        self._last_used: dict[str, float] = {}
        # Bytes by model: its files' size until a worker has reported (on a CPU up to 7 times more).
        self._needs: dict[str, int] = {}
        self._barred: set[str] = set()
        self._lock = OrderedLock(POOL)  # guards the four above

    def submit(self, model: Loadable, job: Job) -> Stream:
        """The job's events. Raises Busy or Unavailable; starts the model's worker when there is none.

        The job's descriptors stay the caller's: they may be closed when this returns.
        """
        while True:
            worker = self.load(model)
            try:
                return worker.submit(job)
            except (WorkerCrashed, Unavailable):
                continue  # it died between the two calls; the job was never aboard

    def load(self, model: Loadable) -> WorkerProcess:
        """The model's living worker, started if need be. Raises Busy, Unavailable."""
        with self._lock:
            if self.draining:
                raise Unavailable("the server is shutting down", code="shutting_down")
            if model.id in self._barred:
                raise Unavailable(f"{model.id} is being deleted", code="model_unavailable")
            worker = self._workers.get(model.id)
            is_new = worker is None or worker.end_reason is not None
            if worker is None or is_new:
                self._needs.setdefault(model.id, model.size_bytes)
                self._make_room(model.id)
                worker = self._workers[model.id] = self._new(model)
            self._last_used[model.id] = self._clock()
        if is_new:
            log.info("%s: starting a worker", model.id)
            worker.start()  # not under the lock; jobs may come aboard meanwhile
        return worker

    def _new(self, model: Loadable) -> WorkerProcess:
        spec = structs.replace(
            model.spec,
            slots=self._jobs_per_worker,
            limit_bytes=self._left_bytes(model.id),
            cpu=self._cpu,
            log_json=self._log_json,
            max_audio_seconds=self._max_audio_seconds,
            stall_seconds=self._stall_seconds,
            raw_prompts=self._raw_prompts,
        )
        try:
            process = self._spawn(model.id, spec)
        except OSError as error:  # no descriptors are left
            raise Unavailable(f"{model.id} could not be started: {error.strerror}") from None
        return WorkerProcess(model.id, spec, process, self._stall_seconds, self._on_news, self._clock)

    def _left_bytes(self, for_id: str) -> int | None:
        """Under the lock: what a worker may take at most, if all go that may go."""
        bounds = [self._limit_bytes] if self._limit_bytes is not None else []
        if self._residency.memory_bytes is not None:
            staying = sum(self._needs[name] for name in self._alive(for_id) if name in self._residency.pinned)
            bounds.append(self._residency.memory_bytes - staying)
        return min(bounds, default=None)

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

    def _on_news(self, worker: WorkerProcess) -> None:
        """Called by a worker's reader a few times a second: its memory, how long it has been idle."""
        keep_alive, budget = self._residency.keep_alive_seconds, self._residency.memory_bytes
        with self._lock:
            name = worker.name
            if self._workers.get(name) is not worker:
                return
            if worker.used_bytes:  # while it loads, what it will need is its files at least
                least = 0 if worker.loaded else self._needs[name]
                self._needs[name] = max(worker.used_bytes, least)
            if keep_alive is not None and worker.idle_seconds > keep_alive:
                self._retire_one({name: worker}, f"was unloaded after {keep_alive:g} s without requests")
            if budget is None:
                return
            others = self._alive(name)
            while self._needs[name] + sum(map(self._needs.__getitem__, others)) > budget:
                if not self._retire_one(others, "was unloaded: the models together took too much memory"):
                    break
                others = self._alive(name)
            self._stop_excess(worker, others)

    def _stop_excess(self, worker: WorkerProcess, others: dict[str, WorkerProcess]) -> None:
        """Under the lock: all who stay are busy, and the machine has no memory left. Who grew, goes."""
        limit = self._limit_bytes
        total = self._needs[worker.name] + sum(map(self._needs.__getitem__, others))
        if limit is not None and total > limit:
            mib = 1 << 20
            worker.kill(f"was stopped: the models took {total // mib} MiB of {limit // mib} MiB together")

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
        worker.join(END_SECONDS)
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
            recent = self._clock() - worker.last_message < FAILURE_SECONDS
            state = "failed" if not worker.loaded and recent else "ended"
            return WorkerState(state, jobs, worker.end_reason)
        if worker.trouble:
            return WorkerState("stalled", jobs, worker.trouble)
        idle = worker.idle_seconds if worker.loaded and not jobs else None
        state = "ready" if worker.loaded else "loading"
        return WorkerState(state, jobs, memory_bytes=worker.used_bytes, idle_seconds=idle)

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
            worker.join(END_SECONDS)
