"""Keep Python from importing files of the folder where ominix was started.

`python -m ominix` puts that folder before the standard library, and so does an empty or relative entry of
PYTHONPATH: a file named argparse.py among somebody's downloads would be run. Imports only what every
interpreter has loaded before it looks there.
"""

from __future__ import annotations

import os
import sys


def absolute_entries(path: str) -> list[str]:
    """The folders of a PYTHONPATH that mean the same wherever the process is."""
    return [entry for entry in path.split(os.pathsep) if entry.startswith("/")]


def drop_current_folder() -> None:
    """To be called before anything else is imported. What `runpy` and `site` import came earlier still."""
    dropped = {sys.path[0]} if sys.path and not sys.flags.safe_path and _is_current(sys.path[0]) else set()
    given = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    if given:
        meant = set(absolute_entries(given))
        relative = {entry for entry in given.split(os.pathsep) if not entry.startswith("/")}
        dropped |= {"", *relative, *map(_absolute, relative)} - meant
    sys.path[:] = [entry for entry in sys.path if entry not in dropped]


def _is_current(entry: str) -> bool:
    return entry == "" or entry == _absolute("")


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)  # noqa: PTH100  # pathlib is not imported yet
    except OSError:  # the current folder is gone
        return entry
