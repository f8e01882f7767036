"""What commands print: results on standard output, all else on standard error.

Models, servers and file names are strangers: their control characters could move the cursor, set the window's
title or fill the clipboard (OSC 52), so they are replaced before anything is printed. Characters that a
terminal's encoding lacks are replaced as well. A reader that has left (`| head`) ends the command quietly.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable

from ominix.errors import LACKS

INTERRUPTED = 128 + signal.SIGINT
READER_LEFT = 128 + signal.SIGPIPE  # as a shell reports a program that SIGPIPE has ended
# All of C0 but tab and line feed, DEL, C1; and what turns the direction of the text around it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_REPLACEMENT = "\ufffd"


def printable(text: str) -> str:
    """The text without what a terminal would obey; line ends of other systems become our own."""
    return _CONTROL.sub(_REPLACEMENT, text.replace("\r\n", "\n"))


def say(text: str, end: str = "\n") -> None:
    """A result."""
    print(printable(text), end=end, flush=True)


def notice(text: str) -> None:
    """What a person should know beside the result."""
    print(printable(text), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Why something was not done."""
    notice(f"ominix: {text}")


def is_interactive() -> bool:
    """Whether a person sits at both ends: only then may a command ask."""
    return sys.stdin is not None and sys.stdin.isatty() and is_watched()


def is_watched() -> bool:
    """Whether somebody sees what goes on: standard error is a terminal, and nobody has closed it."""
    return sys.stderr is not None and sys.stderr.isatty()


def exit_status(run: Callable[[], int]) -> int:
    """That of `run`; of Ctrl-C and of a reader that has left what shells expect, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            status = run()
        finally:  # argparse leaves by SystemExit
            if sys.stdout is not None:  # closed by whoever started us
                sys.stdout.flush()
            _flush_errors()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return READER_LEFT
    except OSError as error:
        if error.errno not in LACKS:
            raise
        complain(f"{error.filename or 'this machine'}: {error.strerror}")
        return 1
    return status


def _flush_errors() -> None:
    """What cannot be written to standard error (a full disk) must not become the exit status."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """The interpreter flushes both streams once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
