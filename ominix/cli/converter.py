"""A converter of ominix.convert in a process of its own: it imports mlx, and a damaged file may crash it."""

from __future__ import annotations

import signal
import sys

from ominix import python_child


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
        print(f"ominix: the conversion crashed ({reason}): {arguments[0]} may be damaged", file=sys.stderr)
        return 1
    return status
