"""One decode child as its parent sees it: started, spoken to, ended. Knows no queue and no deadline."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess

from ominix import limits, python_child
from ominix.wire import transport
from ominix.wire.decoding import ANSWERS, Answer, Decode
from ominix.wire.transport import Transport

MEMORY_BYTES = 1 << 30  # more than the child has when it is idle; an MP4's index may take 140 MB
CPU_SECONDS = 30  # for a block of five seconds
END_SECONDS = 2.0  # between a kill and giving up on the process table
_STDERR_BYTES = 1 << 16  # what a pipe holds
# A child has of our environment what Python and the loader find files with: no tokens, no addresses.
_KEPT = frozenset({"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL"})

log = logging.getLogger("ominix.audio")


class ChildProcess:
    """Never restarted: a new object is a new process."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES, cpu_seconds: int = CPU_SECONDS) -> None:
        """Raises OSError where the system lets us start no process."""
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self.files = 0  # that it was given
        ours, theirs = transport.pair()
        with theirs:
            self._transport = Transport(ours, ANSWERS)
            try:
                self._process = self._spawn(theirs.fileno())
            except OSError:
                self._transport.close()
                raise

    def _spawn(self, end: int) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if name in _KEPT}
        numbers = [end, self._memory_bytes, self._cpu_seconds]
        return python_child.start(
            "ominix.audio.child",
            *map(str, numbers),
            environ={**kept, "OPENBLAS_NUM_THREADS": "1"},  # numpy's: each thread would reserve memory
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(end,),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Of the socket: readable when `receive` has something to say."""
        return self._transport.fileno()

    def decode(self, command: Decode, descriptor: int) -> None:
        """The descriptor stays open here. Raises OSError if the child has died."""
        self.files += 1
        self._transport.send(command, [descriptor])

    def receive(self) -> list[Answer]:
        """What has arrived whole by now; never waits. Raises EOFError or OSError if the child has died."""
        return [received.message for received in self._transport.receive(0)]

    def end(self) -> None:
        """Kill it, if it lives, whatever it does."""
        self._process.kill()
        self._close()

    def why_it_ended(self) -> str:
        """To be called once `receive` has raised: the end of a sentence about the file."""
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # it has closed its socket and goes on: no child of ours does
            self._process.kill()
            status = self._process.wait(END_SECONDS)
        why = self._why(status)
        log.warning("decode child %d ended: %s\n%s", self.pid, why, self._last_words())
        self._close()
        return why

    def _why(self, status: int) -> str:
        if status == limits.OUT_OF_MEMORY:
            return f"it takes more than {self._memory_bytes >> 20} MiB of memory"
        if status == -signal.SIGXCPU:
            return f"a stretch of it takes more than {self._cpu_seconds} s of processor time"
        if status < 0:
            return f"its decoder died of {signal.Signals(-status).name}"
        return f"its decoder ended with exit code {status}"

    def _last_words(self) -> str:
        """Of the interpreter, the C library or a codec."""
        assert self._process.stderr
        os.set_blocking(self._process.stderr.fileno(), False)
        return (self._process.stderr.read(_STDERR_BYTES) or b"").decode(errors="replace")

    def _close(self) -> None:
        self._transport.close()
        assert self._process.stderr
        self._process.stderr.close()
        # One that hangs in a file system ends when that wakes.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
