"""The decode children that have no file at the moment: one or two idle ones, and one that is starting.

A child that is given a file leaves; it comes back from the file's end. Where none is idle one is started, one
at a time: a crowd of short clips is done by the children there are before the next one is ready.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ominix.audio.process import ChildProcess
from ominix.wire.decoding import Ready
from ominix.wire.transport import NotAMessage

START_SECONDS = 60.0  # from a slow disk on a busy machine
MOST_IDLE = 2
MOST_FILES = 200  # of one child: what leaks in a codec goes with it

log = logging.getLogger("ominix.audio")


class Children:
    def __init__(self, start: Callable[[], ChildProcess], clock: Callable[[], float]) -> None:
        self._start = start
        self._clock = clock
        self._idle: list[ChildProcess] = []
        self._due = 0.0
        self.starting: ChildProcess | None = None
        self.failure: str | None = None  # why the last one did not start

    @property
    def due(self) -> list[float]:
        """When the starting one must be ready, if there is one."""
        return [self._due] if self.starting else []

    def acquire(self) -> ChildProcess | None:
        """One that is ready, the last that came back: its memory is warm. None: there is none yet."""
        return self._idle.pop() if self._idle else None

    def release(self, child: ChildProcess) -> None:
        """It has started, or reached the end of its file."""
        if child.files < MOST_FILES and len(self._idle) < MOST_IDLE:
            self._idle.append(child)
        else:
            child.end()

    def keep_ready(self) -> None:
        """Start one if none is there; after a failure, not before `try_again`."""
        if self.starting or self._idle or self.failure:
            return
        try:
            self.starting = self._start()
        except OSError as error:
            self._fail(f"no process can be started: {error.strerror}")
        self._due = self._clock() + START_SECONDS

    def try_again(self) -> None:
        """Another file has come: what made a start fail may have gone."""
        self.failure = None

    def receive(self) -> None:
        """Look whether the starting one is ready, or never will be."""
        child = self.starting
        if child is None:
            return
        try:
            answers = child.receive()
        except (EOFError, OSError):
            self._fail(child.why_it_ended())
        except NotAMessage as error:
            child.end()
            self._fail(str(error))
        else:
            if Ready() in answers:
                self.starting = None
                self.release(child)
            elif self._clock() > self._due:
                child.end()
                self._fail(f"was not ready after {START_SECONDS:g} s")

    def _fail(self, why: str) -> None:
        log.error("a decode child could not be started: %s", why)
        self.starting, self.failure = None, why

    def end(self) -> None:
        for child in [*self._idle, *filter(None, [self.starting])]:
            child.end()
        self._idle.clear()
        self.starting = None
