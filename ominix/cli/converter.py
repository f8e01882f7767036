"""A converter of ominix.convert in a process of its own: it imports mlx, and a damaged file may crash it."""

from __future__ import annotations

import signal
import subprocess
import sys


def run(name: str, *arguments: str) -> int:
    """The exit status of `python -m ominix.convert.NAME ARGUMENTS...`, which says itself what went wrong."""
    status = subprocess.run([sys.executable, "-m", f"ominix.convert.{name}", *arguments]).returncode
    if status < 0:
        reason = signal.Signals(-status).name
        print(f"ominix: the conversion crashed ({reason}): {arguments[0]} may be damaged", file=sys.stderr)
        return 1
    return status
