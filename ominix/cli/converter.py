"""A converter of ominix.convert in a process of its own: it imports mlx, and a damaged file may crash it."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from ominix import python_child
from ominix.cli import terminal


def are_readable(sources: Sequence[Path]) -> bool:
    """False, and the reason on standard error, if one cannot be opened."""
    for source in sources:
        try:
            os.close(os.open(source, os.O_RDONLY | os.O_NONBLOCK))  # waits for no pipe
        except OSError as error:
            terminal.complain(f"{source}: {error.strerror}")
            return False
    return True


def run(name: str, *arguments: str) -> int:
    """The exit status of `python -m ominix.convert.NAME ARGUMENTS...`, which says itself what went wrong."""
    # In our folder, as paths among the arguments may be relative, and our session: Ctrl-C ends it, too.
    with python_child.start(f"ominix.convert.{name}", *arguments, cwd=None, own_session=False) as child:
        try:
            status = child.wait()
        except BaseException:
            child.kill()
            raise
    if status < 0:
        reason = signal.Signals(-status).name
        terminal.complain(f"the conversion crashed ({reason}): {arguments[0]} may be damaged")
        return 1
    return status
