"""The child: `python -m ominix.workers.worker FD SPEC`.

In: commands over the socket FD; SPEC, an EngineSpec as JSON. Out: reports. One thread receives, the main
thread alone touches the engine. Knows the engine protocol, nothing of HTTP, and mlx only through the engine
it loads.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import queue
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from ominix import locks, logs
from ominix.errors import JobRefused
from ominix.wire import jobs, transport
from ominix.wire.control import (
    COMMANDS,
    Admitting,
    Batch,
    Beat,
    Cancel,
    Command,
    Ending,
    EngineSpec,
    Loaded,
    Loading,
    Submit,
)
from ominix.wire.events import Event, Failed, Refused
from ominix.wire.transport import NotAMessage, Transport
from ominix.workers import usage
from ominix.workers.stall import StallWatch

if TYPE_CHECKING:
    from ominix.engines.engine import Engine

BEAT_SECONDS = 1.0  # a report at least this often while the engine works, events or not
LOCK_SECONDS = 5.0  # others look at a folder's lock for an instant
GUARD_SECONDS = 0.2  # how often memory is last_guard at
# Should the interpreter lock never be released again, no Python thread notices the server's death.
# faulthandler's watchdog is a C thread: unless it is re-armed in time, it ends the process.
LOCKED_SECONDS = 120.0

FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/'\"]+/)+")  # clients hear file names, never where they lie

DEVICE_ERROR = re.compile(
    r"\[(METAL|metal::|Event|Fence|cuda|CUDA)|cu[A-Z]\w+\(|cuda[A-Z]\w+\("
)  # as mlx writes them
MOST_WORDS = 300  # characters of them

log = logging.getLogger("ominix.worker")


class Inbox(threading.Thread):
    """Receives commands; ends the process when the server is gone or memory passes its bound.

    It also reports while the engine is being loaded: the main thread cannot.
    """

    def __init__(self, server: Transport[Command], limit_bytes: int | None) -> None:
        super().__init__(name="inbox", daemon=True)
        self._server = server
        self._limit_bytes = limit_bytes
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.is_loading = True  # until the main thread says otherwise
        self._last_report = 0.0

    def run(self) -> None:
        last_guard = 0.0
        while True:
            now = time.monotonic()
            if now - last_guard >= GUARD_SECONDS:  # not at every command: it would cost each a millisecond
                last_guard = now
                faulthandler.dump_traceback_later(LOCKED_SECONDS, exit=True)
                self._guard()
            try:
                self._report_loading(now)
                self._receive()
            except (EOFError, OSError):
                os._exit(0)  # the server is gone or lets us go; the main thread may be deep in mlx
            except NotAMessage as error:
                last_words(self._server, f"was sent something that is no message: {error}")

    def _report_loading(self, now: float) -> None:
        if self.is_loading and now - self._last_report >= BEAT_SECONDS:
            self._last_report = now
            # Not mlx's own count: the main thread may be importing it.
            self._server.send(Loading(usage.resident_bytes(), usage.moved_bytes()))

    def _receive(self) -> None:
        for received in self._server.receive(GUARD_SECONDS):
            command = received.message
            if isinstance(command, Submit):
                command = Submit(command.job_id, jobs.received(command.job, received.descriptors))
            self.commands.put(command)

    def _guard(self) -> None:
        if self._limit_bytes is None:
            return
        resident = usage.resident_bytes()
        if resident > self._limit_bytes:
            mib = 1 << 20
            last_words(
                self._server,
                f"used {resident // mib} MiB of memory, its bound is {self._limit_bytes // mib} MiB",
            )


def last_words(server: Transport[Command], reason: str) -> NoReturn:
    with contextlib.suppress(OSError):
        server.send(Ending(reason))
    os._exit(1)


class Worker:
    """Steps the engine while it has work, waits for commands while it has none."""

    def __init__(
        self, server: Transport[Command], inbox: Inbox, engine: Engine, stall_seconds: float
    ) -> None:
        self._server = server
        self._inbox = inbox
        self._engine = engine
        self._stalls = StallWatch(stall_seconds, time.monotonic)
        self._last_beat = time.monotonic()

    def run(self) -> NoReturn:
        commands = self._inbox.commands
        while True:
            if self._engine.idle:
                self._beat()  # what is kept after a job counts while nothing runs
                self._execute(commands.get())
            while not commands.empty():
                self._execute(commands.get())
            if not self._engine.idle:
                self._report(self._engine.step())

    def _execute(self, command: Command) -> None:
        if isinstance(command, Cancel):
            self._engine.cancel(command.job_id)
            return
        self._server.send(Admitting(command.job_id))  # a sign of life, too, where many jobs come at once
        try:
            self._engine.admit(command.job_id, command.job)
        except JobRefused as error:
            self._end(command, Refused(error.message, error.param, error.code))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # native code may raise what is no Exception, as pyo3's panics
            log.exception("a job could not be taken in")
            reason = f"the model cannot take this input: it failed with {type(error).__name__}"
            self._end(command, Failed(reason, is_final=True))

    def _end(self, command: Submit, event: Event) -> None:
        jobs.close_descriptors_of(command.job)  # what was not taken is still ours
        self._report([(command.job_id, event)])

    def _report(self, events: list[tuple[int, Event]]) -> None:
        if events:
            self._server.send(Batch(events))
        if time.monotonic() - self._last_beat >= BEAT_SECONDS:
            self._beat()

    def _beat(self) -> None:
        self._fail_stalled()
        self._server.send(Beat(usage.used_bytes(), self._stalls.longest_seconds))
        self._last_beat = time.monotonic()

    def _fail_stalled(self) -> None:
        """A job that stands still costs itself; that the engine hangs on it, the whole worker."""
        for job_id in self._stalls.look(self._engine.progress()):
            log.error("job %d made no progress for %g s", job_id, self._stalls.limit_seconds)
            self._engine.cancel(job_id)
            reason = f"made no progress for {self._stalls.limit_seconds:g} s and was stopped"
            self._server.send(Batch([(job_id, Failed(f"the request {reason}"))]))
            if job_id in self._engine.progress():
                last_words(self._server, f"could not stop a job that {reason}")


def _lock_folder(folder: str) -> None:
    """Say to every process that the model is in use, so that nobody deletes it, until this one ends."""
    try:
        locks.acquire(Path(folder), shared=True, seconds=LOCK_SECONDS)
    except (OSError, locks.Held) as error:  # gone: the engine will say so; or a disk without locks
        log.warning("the model's folder could not be locked: %s", type(error).__name__)


def main() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends us
    usage.go_first()
    server = Transport(transport.end_of(int(sys.argv[1])), COMMANDS)
    spec = msgspec.json.decode(sys.argv[2], type=EngineSpec)
    logs.to_stderr(as_json=spec.log_json)
    inbox = Inbox(server, spec.limit_bytes)
    inbox.start()
    if spec.path:
        _lock_folder(spec.path)
    try:
        engine = importlib.import_module(f"ominix.engines.{spec.kind}").load(spec)
    except BaseException as error:
        log.exception("load failed")
        last_words(server, f"could not be loaded: {FOLDERS.sub('', str(error))}")
    inbox.is_loading = False
    server.send(Loaded(usage.used_bytes()))
    try:
        Worker(server, inbox, engine, spec.stall_seconds).run()
    except (BrokenPipeError, ConnectionResetError):  # the server is gone
        os._exit(0)
    except BaseException as error:
        log.exception("the engine failed")
        last_words(server, _reason(error))


def _reason(error: BaseException) -> str:
    """Without the error's own words, which may hold a client's, but for those of a GPU: mlx raises them."""
    words = " ".join(str(error).split())
    if isinstance(error, RuntimeError) and DEVICE_ERROR.match(words):
        return f"failed: the GPU: {FOLDERS.sub('', words)[:MOST_WORDS]}"
    return f"failed with {type(error).__name__}"


if __name__ == "__main__":
    main()
