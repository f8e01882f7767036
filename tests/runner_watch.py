"""Ends what a test runner has started when the runner goes, however it goes.

Run as a program. In: lines "+pid" and "-pid" on standard input, whose end is the runner's: then the
processes that are left are killed. A signal to the parent's death would need Linux, and the thread that
started the server to live on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys


def main() -> None:
    pids: set[int] = set()
    for line in sys.stdin:
        (pids.add if line.startswith("+") else pids.discard)(int(line[1:]))
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@functools.cache
def _watcher() -> subprocess.Popen[str]:
    """One for this process, which has the only writing end of its input."""
    command = [sys.executable, "-S", __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)


def _tell(line: str) -> None:
    pipe = _watcher().stdin
    assert pipe
    print(line, file=pipe, flush=True)


def started(pid: int) -> None:
    """This process ends with the runner at the latest."""
    _tell(f"+{pid}")


def ended(pid: int) -> None:
    """It was waited for: its number may be another's soon."""
    _tell(f"-{pid}")


if __name__ == "__main__":
    main()
