"""The parent's side of the template child: started when it is needed, killed when it is late, started again.

In: a template and its variables. Out: text, or JobRefused with the reason. One thread at a time. Knows no
model and no job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from ominix import limits, python_child
from ominix.errors import InferenceFailed, JobRefused
from ominix.wire import transport
from ominix.wire.rendering import ANSWERS, Answer, Render, Rendered
from ominix.wire.transport import Transport

MEMORY_BYTES = 256 << 20  # more than the child has when it is idle; the longest conversations take a tenth
CPU_SECONDS = 1  # one to two, in fact; usual templates take milliseconds
WAIT_SECONDS = 30.0  # on a machine so busy that a second of the processor take longer
END_SECONDS = 2.0
KEPT = frozenset({"LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"})  # of our environment


class _Child:
    """Never restarted: a new object is a new process."""

    def __init__(self) -> None:
        """Raises OSError where the system lets us start no process."""
        ours, theirs = transport.pair()
        self._transport: Transport[Answer] = Transport(ours, ANSWERS)
        with theirs:
            try:
                self._process = python_child.start(
                    "ominix.templates.child",
                    *map(str, (theirs.fileno(), MEMORY_BYTES, CPU_SECONDS)),
                    environ={name: value for name, value in os.environ.items() if name in KEPT},
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError:
                self._transport.close()
                raise

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, command: Render, wait_seconds: float) -> Answer | None:
        """None: there was no answer in time. Raises EOFError or OSError if the child has died."""
        self._transport.send(command)
        end = time.monotonic() + wait_seconds
        while (left := end - time.monotonic()) > 0:
            for received in self._transport.receive(left):
                return received.message
        return None

    def end(self) -> int | None:
        """Kill it, if it lives. Its exit status; None: the system has not freed it yet."""
        self._transport.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.1)  # one that has closed its socket is on its way out
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_SECONDS)
        return None


class Renderer:
    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._child: _Child | None = None

    def start(self) -> None:
        """Have a child ready, so that the next render need not wait for it. Raises InferenceFailed."""
        if self._child is not None and self._child.lives:
            return
        self.close()
        try:
            self._child = _Child()
        except OSError as error:
            raise InferenceFailed(f"chat templates cannot be rendered: {error.strerror}") from None

    def render(self, template: str, variables: Mapping[str, Any], max_chars: int) -> str:
        """Raises JobRefused for a template that refuses, is broken or takes too much; InferenceFailed."""
        self.start()
        assert self._child
        try:
            answer = self._child.ask(Render(template, dict(variables), max_chars), self._wait_seconds)
        except (EOFError, OSError, transport.NotAMessage):
            reason = _why(self._child.end())
        else:
            if isinstance(answer, Rendered):
                return answer.text
            reason = answer.reason if answer else f"it takes longer than {self._wait_seconds:g} s"
            if answer is None:
                self._child.end()
        raise JobRefused(reason, param="messages")

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _why(status: int | None) -> str:
    if status == limits.OUT_OF_MEMORY or status is None:
        return f"it takes more than {MEMORY_BYTES >> 20} MiB of memory"
    if status == -signal.SIGXCPU:
        return f"it takes more than {CPU_SECONDS} s of the processor"
    if status < 0:
        return f"it ends its process with {signal.Signals(-status).name}"
    return f"it ends its process with exit code {status}"
