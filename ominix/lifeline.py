"""A child's standard input as the sign that its parent lives: the parent has the other end and never writes.

However the parent ends, by SIGKILL too, the system closes its end. (A signal at the parent's death would need
Linux, and the parent's thread that started the child to live on.)
"""

from __future__ import annotations

import os
import sys
import threading


def end_with_stdin() -> None:
    """From now on this process ends, at whatever it is, when its standard input does."""
    threading.Thread(target=_wait, name="lifeline", daemon=True).start()


def _wait() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
