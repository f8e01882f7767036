"""What a child may use that works on files of strangers: recordings, chat templates. Set before it reads any.

In: memory in bytes and processor time in seconds, on top of what the idle child has used. Out: MemoryError
where somebody looks whether there is memory, else the end of the process.

- Memory: RLIMIT_DATA on Linux: private memory that can be written to. RLIMIT_AS would also count the address
  space that malloc and threads reserve and never touch. macOS enforces neither, so `Watch` looks at the peak
  of the resident memory, ten times a second: too late for a codec that takes gigabytes at once.
- Open files: what the child has already, such as the recording, and no other. So no file can be opened, and
  no socket.
- Written bytes: none. No core dump: it would hold somebody's recording.
- Processor time: RLIMIT_CPU, moved on with every block. A file may take hours as long as it yields samples.

A codec that an attacker has taken over could still do what the user may do: this is no sandbox.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

OUT_OF_MEMORY = 77  # the exit status of a child that has passed its bound
WATCH_SECONDS = 0.1
_STATUS = Path("/proc/self/status")
# macOS' frameworks may open files when they like, and nobody has run this there yet.
_SPARE_FILES = 0 if sys.platform == "linux" else 8


def confine(memory_bytes: int, highest_descriptor: int) -> None:
    """Everything but processor time, for good. `highest_descriptor`: of those that are open."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, highest_descriptor + 2 + _SPARE_FILES)  # numbers below this one
    if _STATUS.exists():
        _limit(resource.RLIMIT_DATA, _writable_bytes() + memory_bytes)


def _limit(what: int, most: int) -> None:
    most = _at_most(most, what)
    resource.setrlimit(what, (most, most))


def _at_most(wanted: int, what: int) -> int:
    """Nobody may ask for more than the system's administrator grants."""
    _, hard = resource.getrlimit(what)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _writable_bytes() -> int:
    """What RLIMIT_DATA counts, of this process."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) << 10


def peak_bytes() -> int:
    """The most memory that was ever resident; on Linux the parent's counts, too. Needs no descriptor."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def allow_seconds(seconds: int) -> None:
    """So much processor time from now on; beyond it the process dies of SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(soft, resource.RLIMIT_CPU), hard))


class Watch(threading.Thread):
    """Ends the process while a file is decoded, if the parent has gone or memory passes its bound.

    Codecs release the interpreter lock, so this thread runs beside them. An idle child needs no watch: it
    reads the socket itself.
    """

    def __init__(self, parent: socket.socket, memory_bytes: int, cpu_seconds: int) -> None:
        super().__init__(name="watch", daemon=True)
        self._parent = parent
        self._cpu_seconds = cpu_seconds
        self._bound_bytes = peak_bytes() + memory_bytes
        self._computing = threading.Event()

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Around what takes a codec from one block to the next."""
        allow_seconds(self._cpu_seconds)
        self._computing.set()
        try:
            yield
        finally:
            self._computing.clear()

    def run(self) -> None:
        while True:
            self._computing.wait()
            time.sleep(WATCH_SECONDS)
            if peak_bytes() > self._bound_bytes:
                os._exit(OUT_OF_MEMORY)
            if self._is_alone():
                os._exit(0)

    def _is_alone(self) -> bool:
        try:
            return not self._parent.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:  # nothing to read: the parent waits for us
            return False
