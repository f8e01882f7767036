"""The template child: `python -P -m ominix.templates.child FD MEMORY_BYTES CPU_SECONDS`.

In: over the Unix socket FD, a chat template with its variables. Out: its text, or why there is none. One at a
time.

A template comes with a model's folder, from strangers, and is a program: it may loop for hours or build a
number of gigabytes. What it does to this process costs one request; the model, and all who speak with it,
live in another. Imports neither mlx nor transformers: it starts in a tenth of a second and takes 20 MiB.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import NoReturn

from jinja2 import TemplateError

from ominix import limits
from ominix.templates import environment
from ominix.wire import transport
from ominix.wire.rendering import COMMANDS, Answer, Render, Rendered, RenderRefused
from ominix.wire.transport import Transport

SOCKET = 3  # the first number behind the standard ones
REASON_CHARS = 300
LATE_IMPORTS = ("jinja2.debug", "pprint", "traceback")  # jinja's, when no file can be opened any more


def main() -> NoReturn:
    """Ends with end-of-file: the parent has gone or lets us go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends us
    inherited, memory_bytes, cpu_seconds = map(int, sys.argv[1:])
    os.dup2(inherited, SOCKET)
    os.closerange(SOCKET + 1, inherited + 1)
    _warm_up()
    parent = Transport(transport.end_of(SOCKET), COMMANDS)
    limits.confine(memory_bytes, SOCKET)
    try:
        while True:
            for received in parent.receive(None):
                limits.allow_seconds(cpu_seconds)
                parent.send(_answer(received.message))
    except (EOFError, ConnectionError):
        os._exit(0)


def _warm_up() -> None:
    """Have everything read from the disk: modules, the time zone."""
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    with contextlib.suppress(TemplateError):
        environment.render("{{ strftime_now('%d %b %Y %Z') }}{{ raise_exception('') }}", {}, 100)


def _answer(command: Render) -> Answer:
    try:
        return Rendered(environment.render(command.template, command.variables, command.max_chars))
    except MemoryError:
        os._exit(limits.OUT_OF_MEMORY)  # what is left of the bound is not enough for another one
    except Exception as error:  # a template's operations may raise anything
        kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
        return RenderRefused(f"{kind}{error}"[:REASON_CHARS])


if __name__ == "__main__":
    main()
