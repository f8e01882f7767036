"""One worker as the server sees it: its state, the jobs that it holds, and how it ended.

                        Loaded              silent too long, with jobs
    start() --> starting ----> ready <------------------------------> stalled
                   |             |           any message                 |
                   |             | retire(), without jobs                | silent for stall_seconds
                   v             v                                       v
                 dead <------ retired                                  dead

A worker is never restarted: a new process is a new object, so a state never goes back to starting. Dead
comes once, from the process's reader, and with it every job aboard ends with the true reason. Why a worker
died is, in this order: what we killed it for, what it said at last (`Ending`), what its exit status says. A
retired worker takes no jobs and has none, so nobody waits for its end but the process table.

The job of whose input it died hears WorkerCrashed, and its client is told not to repeat it: the one that was
being taken in, or the only one aboard. The others hear Unavailable and may try again. If nobody knows which
it was, that goes for all of them: together they come back once or twice, and no more.

One client may hold all of its places. Who has no job aboard then still gets one of a few places more
(fairness.guests): a flood cannot keep others out.

Three kinds of threads come here: requests (`submit`, and `cancel` through their stream), the pool
(`retire`, `kill`), and the one reader of the process (`on_message`, `on_quiet`, `on_end`). Knows no
sockets, no clock but the one it is given, no mlx, no HTTP: a simulation can drive it message by message.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ominix.errors import Busy, OminixError, TooLarge, Unavailable, WorkerCrashed
from ominix.fairness import guests
from ominix.wire import jobs
from ominix.wire.control import (
    Admitting,
    Batch,
    Beat,
    Cancel,
    Command,
    Ending,
    EngineSpec,
    Loaded,
    Loading,
    Report,
    Submit,
)
from ominix.wire.events import LAST, Event
from ominix.wire.jobs import Job
from ominix.wire.outbox import OutboxFull
from ominix.wire.transport import FrameTooLarge
from ominix.workers.ordered_lock import WORKER, OrderedLock
from ominix.workers.stream import Stream

# A load that moves less than this in the stall time stands still (17 KiB/s in a minute). What a worker reads
# just to tell how far it is is less.
LEAST_MOVED_BYTES = 1 << 20
# However short the stall time is: a busy machine needs seconds to start an interpreter.
LEAST_LOAD_STALL_SECONDS = 15.0

log = logging.getLogger("ominix.workers")


class Observer(Protocol):
    """Whom a process reports to, from one thread."""

    @property
    def is_over(self) -> bool:
        """Nothing more is wanted of the process: kill it."""
        ...

    def on_message(self, report: Report) -> None: ...

    def on_quiet(self) -> None:
        """Nothing has come for a moment: time to look at the clock."""
        ...

    def on_end(self, cause: str) -> None:
        """The process has ended, or was killed and does not go; nothing follows."""
        ...


class Process(Protocol):
    """A child as the system has it. `spawned.SpawnedProcess` is the real one; tests have a simulated one."""

    @property
    def pid(self) -> int: ...

    def start(self, observer: Observer) -> None:
        """Spawn. Raises OSError. May take milliseconds; what was sent before is read by the child then."""
        ...

    def send(self, command: Command, descriptors: Sequence[int] = (), *, urgent: bool = False) -> None:
        """Never waits. Raises FrameTooLarge, OutboxFull unless urgent, OSError where the process has gone."""
        ...

    def kill(self) -> None: ...

    def join(self, timeout_seconds: float) -> None:
        """Wait until the process has ended."""
        ...


class WorkerProcess:
    """Thread-safe."""

    def __init__(
        self,
        name: str,
        spec: EngineSpec,
        process: Process,
        stall_seconds: float,
        on_news: Callable[[WorkerProcess], None] = lambda worker: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_news` is called by the reader, no lock held, after news of memory and while all is quiet."""
        self.name = name
        self.spec = spec
        self.loaded = False
        self.end_reason: str | None = None  # set once, when no event will come any more
        self.used_bytes = 0  # memory, as the process last reported; 0: not yet
        self._process = process
        self._stall_seconds = stall_seconds
        self._load_stall_seconds = max(stall_seconds, LEAST_LOAD_STALL_SECONDS)
        self._on_news = on_news
        self._clock = clock
        self.started = self.last_message = self.last_busy = clock()  # last_busy: when the last job left
        self._moved_bytes, self._moved_at = 0, self.started  # how far the load is, and since when
        self._job_stalled_seconds = 0.0
        self._kill_reason: str | None = None
        self._taken_in: int | None = None  # the last job that was taken in, until anything else is reported
        self._job_ids = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        self._clients: dict[int, str] = {}  # of the same jobs
        self._lock = OrderedLock(WORKER)  # guards _streams, _clients, end_reason and last_busy

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def jobs_aboard(self) -> int:
        return len(self._streams)

    @property
    def silent_seconds(self) -> float:
        """How long jobs have been aboard without a message from the worker."""
        return self._clock() - self.last_message if self._streams else 0.0

    @property
    def trouble(self) -> str | None:
        """What makes it look stalled, before it, or a job, is stopped for that."""
        still_seconds = self._clock() - self._moved_at
        if not self.loaded and still_seconds > self._load_stall_seconds / 2:
            return f"loading, without progress for {still_seconds:.0f} s"
        if self.loaded and self.silent_seconds > self._stall_seconds / 2:
            return f"silent for {self.silent_seconds:.0f} s"
        if self._streams and self._job_stalled_seconds > self._stall_seconds / 2:
            return f"a request without progress for {self._job_stalled_seconds:.0f} s"
        return None

    @property
    def idle_seconds(self) -> float:
        """How long it has been loaded with nothing to do."""
        return 0.0 if self._streams or not self.loaded else self._clock() - self.last_busy

    @property
    def is_over(self) -> bool:
        return self._kill_reason is not None

    def start(self) -> None:
        """Spawn the process, once. Raises Unavailable; jobs that came aboard meanwhile fail with the same."""
        try:
            self._process.start(self)
        except OSError as error:
            self.on_end(f"could not be started: {error.strerror}")
            raise self._error() from None

    def submit(self, job: Job) -> Stream:
        """Send a job. Raises Busy when no place is left for it, WorkerCrashed when the process has ended."""
        job_id = next(self._job_ids)
        stream = Stream(cancel=lambda: self._cancel(job_id))
        with self._lock:
            if self.end_reason is not None:
                raise self._error()
            if not self._has_place(job.caller.client):
                raise Busy(f"{self.name} has {self.spec.slots} requests aboard; try again shortly")
            if not self._streams:
                self.last_message = self._clock()
            self._streams[job_id] = stream
            self._clients[job_id] = job.caller.client
        try:
            self._process.send(Submit(job_id, job), jobs.descriptors_of(job))
        except (FrameTooLarge, OutboxFull) as error:
            self._remove(job_id)
            if isinstance(error, OutboxFull):
                raise Busy(f"{self.name} does not take requests at present; try again shortly") from None
            raise TooLarge(str(error)) from None
        except OSError:  # the process has died: its reader ends every job with the reason
            log.debug("%s: the socket is closed", self.name)
        return stream

    def _has_place(self, client: str) -> bool:
        """Under the lock."""
        count, slots = len(self._streams), self.spec.slots
        return count < slots or (count < slots + guests(slots) and client not in self._clients.values())

    def _cancel(self, job_id: int) -> None:
        if self._remove(job_id) is not None:
            try:
                self._process.send(Cancel(job_id), urgent=True)
            except OSError:
                log.debug("%s: the socket is closed", self.name)

    def _remove(self, job_id: int) -> Stream | None:
        with self._lock:
            stream = self._streams.pop(job_id, None)
            self._clients.pop(job_id, None)
            if stream is not None:
                self.last_busy = self._clock()
        return stream

    def retire(self, reason: str) -> bool:
        """End the process if it has no jobs aboard; it takes none any more. False if it is busy or over."""
        with self._lock:
            if self._streams or self.end_reason is not None:
                return False
            self.end_reason = reason
        self.kill(reason)
        return True

    def kill(self, reason: str) -> None:
        """End the process now; its jobs get `reason` from `on_end`."""
        self._kill_reason = self._kill_reason or reason
        self._process.kill()

    def join(self, timeout_seconds: float) -> None:
        self._process.join(timeout_seconds)

    def on_message(self, report: Report) -> None:
        self.last_message = self._clock()
        if isinstance(report, Admitting):
            self._taken_in = report.job_id
        elif not isinstance(report, Ending):
            self._taken_in = None
        if isinstance(report, Batch):
            for job_id, event in report.events:
                self._deliver(job_id, event)
        elif isinstance(report, Beat):
            self.used_bytes = report.used_bytes
            self._job_stalled_seconds = report.stalled_seconds
            self._on_news(self)
        elif isinstance(report, Loading):
            self._on_loading(report)
        elif isinstance(report, Loaded):
            self._on_loaded(report)
        elif isinstance(report, Ending):
            self.kill(report.reason)

    def _on_loading(self, report: Loading) -> None:
        self.used_bytes = max(self.used_bytes, report.used_bytes)
        if report.moved_bytes - self._moved_bytes >= LEAST_MOVED_BYTES:
            self._moved_bytes, self._moved_at = report.moved_bytes, self._clock()
        self._on_news(self)

    def _on_loaded(self, report: Loaded) -> None:
        self.used_bytes = report.used_bytes
        self.last_busy = self._clock()
        self.loaded = True
        self._on_news(self)
        log.info("%s: ready after %.1f s, pid %d", self.name, self._clock() - self.started, self.pid)

    def _deliver(self, job_id: int, event: Event) -> None:
        stream = self._remove(job_id) if isinstance(event, LAST) else self._streams.get(job_id)
        if stream is not None:  # None: cancelled meanwhile
            stream.put(event)

    def on_quiet(self) -> None:
        if self.loaded and self.silent_seconds > self._stall_seconds:
            self.kill(f"gave no sign of life for {self._stall_seconds:g} s and was stopped")
        elif not self.loaded and self._clock() - self._moved_at > self._load_stall_seconds:
            self.kill(f"could not be loaded: no progress for {self._load_stall_seconds:g} s")
        else:
            self._on_news(self)

    def on_end(self, cause: str) -> None:
        reason = self._kill_reason or cause
        with self._lock:
            self.end_reason = reason
            streams = dict(self._streams)
            self._streams.clear()
            self._clients.clear()
        level = logging.WARNING if streams or self._kill_reason is None else logging.INFO
        culprit = next(iter(streams)) if len(streams) == 1 else self._taken_in
        log.log(
            level, "%s: pid %d ended: %s; %d jobs failed; of job %s",
            self.name, self.pid, reason, len(streams), culprit or "unknown",
        )  # fmt: skip
        for job_id, stream in streams.items():
            stream.put(self._error() if job_id == culprit else self._bystander_error())

    def _error(self) -> OminixError:
        if not self.loaded:
            return Unavailable(f"{self.name} {self.end_reason}", code="model_unavailable")
        return WorkerCrashed(f"the process of {self.name} {self.end_reason}")

    def _bystander_error(self) -> OminixError:
        message = f"the process of {self.name} {self.end_reason}; another request may be why: try again"
        return Unavailable(message, code="model_unavailable") if self.loaded else self._error()
