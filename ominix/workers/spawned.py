"""A worker's process as the system has it: spawned by exec, one end of a socket pair, one thread that reads.

In: commands. Out: reports, and the end, to an observer. The reader thread is the only one that receives,
and the only one that waits for the socket: it flushes what a send has left in the outbox. No mlx, no HTTP.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Sequence

import msgspec

from ominix import python_child
from ominix.wire import transport
from ominix.wire.control import REPORTS, Command, EngineSpec, Report
from ominix.wire.outbox import Outbox
from ominix.wire.transport import NotAMessage, Received, Transport
from ominix.workers import ordered_lock
from ominix.workers.process import Observer

POLL_SECONDS = 0.25  # how often the observer looks at the clock
END_SECONDS = 5.0  # how long a process that could not be read from is waited for
STATUS_SECONDS = 2.0  # how long jobs wait for the exit status of a process that has closed its socket

log = logging.getLogger("ominix.workers")


class SpawnedProcess:
    """`python -m ominix.workers.worker FD SPEC`. Implements `process.Process`. Raises OSError."""

    def __init__(self, name: str, spec: EngineSpec) -> None:
        self._name = name
        self._spec = spec
        near, self._far = transport.pair()
        self._transport = Transport(near, REPORTS)
        self._outbox = Outbox(near)
        self._popen: subprocess.Popen[bytes] | None = None
        self._kill_asked = False
        self._ended = threading.Event()

    @property
    def pid(self) -> int:
        return self._popen.pid if self._popen else 0

    def start(self, observer: Observer) -> None:
        assert not ordered_lock.held()
        reader = threading.Thread(
            target=self._read, args=(observer,), name=f"reader-{self._name}", daemon=True
        )
        try:
            self._popen = self._spawn()
            if self._kill_asked:
                self._popen.kill()
            reader.start()
        except (OSError, RuntimeError) as error:
            self._close()
            if self._popen is not None:
                self._popen.kill()
                self._popen.wait(END_SECONDS)
            self._ended.set()
            if isinstance(error, RuntimeError):  # no thread can be started
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
            raise
        finally:
            self._far.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        spec = msgspec.json.encode(self._spec).decode()
        far = self._far.fileno()
        return python_child.start("ominix.workers.worker", str(far), spec, pass_fds=(far,))

    def send(self, command: Command, descriptors: Sequence[int] = (), *, urgent: bool = False) -> None:
        assert not ordered_lock.held()
        self._outbox.send(command, descriptors, urgent=urgent)

    def kill(self) -> None:
        self._kill_asked = True  # `start` may be under way in another thread
        if self._popen is not None:
            self._popen.kill()

    def join(self, timeout_seconds: float) -> None:
        assert not ordered_lock.held()
        self._ended.wait(timeout_seconds)

    def _read(self, observer: Observer) -> None:
        """Jobs hear of the end first. Until the process table has it, minutes may pass: much memory to free,
        a driver that hangs."""
        try:
            cause = self._relay(observer)
        except Exception as error:  # a bug of ours: it costs this worker, and no job waits for ever
            log.exception("%s: its reader failed", self._name)
            cause = f"was stopped: the server failed with {type(error).__name__} at its message"
        assert self._popen is not None
        with contextlib.suppress(OSError):
            self._popen.kill()  # whatever made us stop reading, nobody will read again
        self._close()
        status = None
        if cause is None and not observer.is_over:  # it ended by itself: how, only its status tells
            status = self._status(STATUS_SECONDS)
            cause = "ended, but the system still holds it" if status is None else _died(status)
        observer.on_end(cause or "was killed")
        while status is None:
            status = self._status(60.0)
        self._ended.set()

    def _relay(self, observer: Observer) -> str | None:
        """Messages and time to the observer, to the end. Returns its cause; None: the exit status has it."""
        while not observer.is_over:
            try:
                arrived = self._arrived()
            except (EOFError, OSError):
                return None
            except NotAMessage as error:
                log.error("%s: %s", self._name, error)
                return "sent something that is no message and was stopped"
            for received in arrived:
                observer.on_message(received.message)
            if not arrived:
                observer.on_quiet()
        return None

    def _arrived(self) -> list[Received[Report]]:
        """Wait for messages, and for room to send meanwhile; [] after a while."""
        poll = select.poll()
        poll.register(self._transport, select.POLLIN | (select.POLLOUT if self._outbox.waiting else 0))
        poll.register(self._outbox.wakeup, select.POLLIN)
        ready = dict(poll.poll(POLL_SECONDS * 1000))
        received = self._transport.read() if ready.get(self._transport.fileno(), 0) & ~select.POLLOUT else []
        if ready:
            with contextlib.suppress(OSError):  # gone: the next read says so
                self._outbox.flush()
        return received

    def _status(self, timeout_seconds: float) -> int | None:
        assert self._popen is not None
        try:
            return self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def _close(self) -> None:
        self._outbox.close()
        self._transport.close()


def _died(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    name = next((number.name for number in signal.Signals if number == -status), f"signal {-status}")
    return f"died of {name}"
