"""One worker process as the server sees it: streams of events out of a pipe, and how it ended.

A reader thread per process turns reports into streams' events and watches for silence. No mlx, no HTTP.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

from ominix.errors import Busy, InferenceFailed, JobRefused, OminixError, Unavailable, WorkerCrashed
from ominix.wire.control import Batch, Beat, Cancel, Command, Ending, EngineSpec, Loaded, Report, Submit
from ominix.wire.events import LAST, Event, Failed, Refused
from ominix.wire.jobs import Job

LOAD_SECONDS = 900.0  # the longest a load may take: tens of gigabytes from a slow disk
POLL_SECONDS = 0.25  # how often silence is looked at
END_SECONDS = 5.0  # between a kill and giving up on the process table

log = logging.getLogger("ominix.workers")


class Stream:
    """The events of one job, in order, for one reader. Ends after one of `events.LAST`."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._queue: queue.SimpleQueue[Event | OminixError] = queue.SimpleQueue()
        self.ended = False

    def put(self, item: Event | OminixError) -> None:
        self._queue.put(item)

    def take(self, timeout: float) -> list[Event]:
        """All events there are, waiting up to `timeout` seconds for the first; [] when none came.

        Raises the job's error: JobRefused, InferenceFailed, WorkerCrashed or Unavailable. Events that
        came before the error are given first; the next call raises it.
        """
        events: list[Event] = []
        try:
            item = self._queue.get(timeout=timeout)
            while True:
                error = self._error(item)
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

    @staticmethod
    def _error(item: Event | OminixError) -> OminixError | None:
        if isinstance(item, OminixError):
            return item
        if isinstance(item, Refused):
            return JobRefused(item.message, param=item.param, code=item.code)
        if isinstance(item, Failed):
            return InferenceFailed(item.message)
        return None

    def close(self) -> None:
        """Cancel the job unless it has ended. May be called more than once."""
        if not self.ended:
            self.ended = True
            self._cancel()


class WorkerProcess:
    """A spawned child with one engine. Never restarted: a new object is a new process."""

    def __init__(
        self,
        name: str,
        spec: EngineSpec,
        stall_seconds: float,
        look: Callable[[WorkerProcess], None] = lambda worker: None,
    ) -> None:
        """`look` is called by the reader, with no lock held, after news of memory and while all is quiet."""
        self.name = name
        self.spec = spec
        self.started = time.monotonic()
        self.loaded = False
        self.end_reason: str | None = None  # set once, when no event will come any more
        self.used_bytes = 0  # memory, as the process last told; 0: has not yet
        self.last_busy = time.monotonic()  # when the last job left
        self._look = look
        self._stall_seconds = stall_seconds
        self._kill_reason: str | None = None
        self._job_ids = itertools.count(1)
        self._streams: dict[int, Stream] = {}
        # Guards _streams, end_reason and the sending end of the pipe. Nothing is computed under it.
        self._lock = threading.Lock()
        self.last_heard = time.monotonic()
        self._conn, child_conn = Pipe(duplex=True)
        self._process = self._spawn(child_conn.fileno())
        child_conn.close()
        self._reader = threading.Thread(target=self._read, name=f"reader-{name}", daemon=True)
        self._send_quietly(spec)
        self._reader.start()

    def _spawn(self, fd: int) -> subprocess.Popen[bytes]:
        package_root = str(Path(__file__).parents[2])
        paths = [package_root, os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, "-m", "ominix.workers.worker", str(fd)],
            stdin=subprocess.DEVNULL,
            pass_fds=(fd,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
            start_new_session=True,  # the terminal's Ctrl-C is the server's business
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def jobs_aboard(self) -> int:
        return len(self._streams)

    @property
    def silent_seconds(self) -> float:
        """How long jobs have been aboard without a word from the worker."""
        return time.monotonic() - self.last_heard if self._streams else 0.0

    @property
    def idle_seconds(self) -> float:
        """How long it has been loaded with nothing to do."""
        return 0.0 if self._streams or not self.loaded else time.monotonic() - self.last_busy

    def retire(self, reason: str) -> bool:
        """End the process if it has no jobs aboard; none will be taken any more. Never waits.

        False if it is busy, or being given a job at this instant.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._streams or self.end_reason is not None:
                return False
            self.end_reason = reason
        finally:
            self._lock.release()
        self.kill(reason)
        return True

    def submit(self, job: Job) -> Stream:
        """Send a job. Raises Busy when `slots` jobs are aboard, WorkerCrashed when the process has ended."""
        job_id = next(self._job_ids)
        stream = Stream(cancel=lambda: self._cancel(job_id))
        with self._lock:
            if self.end_reason is not None:
                raise self._error()
            if len(self._streams) >= self.spec.slots:
                raise Busy(f"{self.name} has {self.spec.slots} requests aboard; try again shortly")
            if not self._streams:
                self.last_heard = time.monotonic()
            self._streams[job_id] = stream
            self._send(Submit(job_id, job))
        return stream

    def _cancel(self, job_id: int) -> None:
        with self._lock:
            if self._streams.pop(job_id, None) is not None:
                self.last_busy = time.monotonic()
                self._send(Cancel(job_id))

    def kill(self, reason: str) -> None:
        """End the process now; its jobs hear `reason`."""
        self._kill_reason = self._kill_reason or reason
        self._process.kill()

    def join(self, timeout: float) -> None:
        self._reader.join(timeout)

    def _send(self, command: Command) -> None:
        self._send_quietly(command)

    def _send_quietly(self, message: Command | EngineSpec) -> None:
        try:
            self._conn.send(message)
        except OSError:  # the child has died: the reader sees end-of-file and tells everyone why
            log.debug("%s: the pipe is closed", self.name)

    def _read(self) -> None:
        while self._kill_reason is None:
            try:
                if self._conn.poll(POLL_SECONDS):
                    self._hear(self._conn.recv())
                else:
                    self._watch()
            except Exception:
                break
        self._end()

    def _hear(self, report: Report) -> None:
        self.last_heard = time.monotonic()
        if isinstance(report, Batch):
            for job_id, event in report.events:
                self._deliver(job_id, event)
        elif isinstance(report, Beat):
            self.used_bytes = report.used_bytes
            self._look(self)
        elif isinstance(report, Loaded):
            self.used_bytes = report.used_bytes
            self.last_busy = time.monotonic()
            self.loaded = True
            self._look(self)
            log.info("%s: ready after %.1f s, pid %d", self.name, self._age(), self.pid)
        elif isinstance(report, Ending):
            self._kill_reason = report.reason

    def _age(self) -> float:
        return time.monotonic() - self.started

    def _deliver(self, job_id: int, event: Event) -> None:
        if isinstance(event, LAST):
            with self._lock:
                stream = self._streams.pop(job_id, None)
                self.last_busy = time.monotonic()
        else:
            stream = self._streams.get(job_id)
        if stream is not None:  # None: cancelled meanwhile
            stream.put(event)

    def _watch(self) -> None:
        if self.loaded and self.silent_seconds > self._stall_seconds:
            self.kill(f"gave no sign of life for {self._stall_seconds:g} s and was stopped")
        elif not self.loaded and self._age() > LOAD_SECONDS:
            self.kill(f"could not be loaded: it took longer than {LOAD_SECONDS:g} s")
        else:
            self._look(self)

    def _end(self) -> None:
        self._process.kill()  # whatever made us stop reading, nobody will read again
        status = self._process.wait(END_SECONDS)
        reason = self._kill_reason or _died(status)
        with self._lock:
            self.end_reason = reason
            streams = list(self._streams.values())
            self._streams.clear()
            self._conn.close()
        level = logging.WARNING if streams or self._kill_reason is None else logging.INFO
        log.log(level, "%s: pid %d ended: %s; %d jobs failed", self.name, self.pid, reason, len(streams))
        for stream in streams:
            stream.put(self._error())

    def _error(self) -> OminixError:
        if not self.loaded:
            return Unavailable(f"{self.name} {self.end_reason}", code="model_unavailable")
        return WorkerCrashed(f"the process of {self.name} {self.end_reason}")


def _died(status: int) -> str:
    if status < 0:
        return f"died of {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
