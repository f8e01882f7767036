"""A command needs a model that is not here: its download is offered.

A person at a terminal is asked, unless --yes was given; anybody else reads which command downloads it. A demo
model is never taken instead: it has to be named.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ominix.cli import pull, terminal
from ominix.cli.client import Client, ModelState
from ominix.errors import ServerError
from ominix.families.family import TASKS
from ominix.families.table import KNOWN, OFFERED, RECOMMENDED, recommended

MISSING = "model_not_found"  # the server's code


def nobody(question: str) -> bool:
    """For servers elsewhere: what is downloaded here would not be there."""
    return False


def everybody(question: str) -> bool:
    """For --yes."""
    return True


def person(question: str) -> bool:
    """Whether the person at the terminal says yes; nobody there is a no."""
    if not terminal.is_interactive():
        return False
    terminal.notice(f"{question} [y/N]")
    try:
        return input().strip().lower() in ("y", "yes")
    except EOFError:
        return False


def ensured(
    server: Client, home: Path, model: str | None, ability: str, agree: Callable[[str], bool]
) -> ModelState:
    """The model that `model` means on the server, None being any with the ability.

    If it is not there, it is downloaded into `home` for those who agree. Raises ServerError.
    """
    try:
        return server.model(model or recommended(ability))
    except ServerError as error:
        if error.code != MISSING:
            raise
        message = error.message if model else none_here(ability)
    short_name = model if model in KNOWN.repositories else OFFERED[ability]
    size = KNOWN.download_gb.get(short_name)
    wanted = f"{short_name} ({KNOWN.repositories[short_name]}{f', {size} GB' if size else ''})"
    if not agree(f"This needs a {TASKS[ability]} model that is not here yet. Download {wanted} now?"):
        raise ServerError(message, code=MISSING)
    if pull.run(home=home, model=short_name, aliases=()):
        raise ServerError(f"without {short_name} this cannot be done", code=MISSING)
    return server.model(short_name)


def none_here(ability: str) -> str:
    pulls = " or ".join(f"'ominix pull {name}'" for name in RECOMMENDED[ability])
    demos = [name for family in KNOWN.able(ability) for name in family.built_in]
    demo = f" {demos[0]}, for trying things out, has to be named: --model {demos[0]}." if demos else ""
    return f"No {TASKS[ability]} model is here yet: {pulls} downloads one.{demo}"
