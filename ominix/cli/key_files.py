"""API keys in files: one a line; empty lines and lines that begin with "#" do not count.

A file is read once, at the start: after a change the server has to be started again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from ominix.cli import flags
from ominix.errors import ServerError

MAX_BYTES = 1 << 20
OTHERS = 0o077  # permission bits of everybody but the owner


def keys(files: Iterable[Path]) -> tuple[str, ...]:
    """All of them, with a warning for each file that others can read. Raises ServerError."""
    return tuple(key for file in files for key in _read(file))


def _read(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            lines = opened.read(MAX_BYTES).decode("utf-8", "replace").splitlines()
            is_open = file.stat().st_mode & OTHERS
    except OSError as error:
        raise ServerError(f"the keys in {file} cannot be read: {error.strerror}") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    found = [_key(file, number, line) for number, line in numbered if line and not line.startswith("#")]
    if not found:
        raise ServerError(f"{file} holds no key: write one a line")
    if is_open:
        print(f"ominix: others can read the keys in {file}: chmod 600 {file}", file=sys.stderr)
    return found


def _key(file: Path, number: int, line: str) -> str:
    """The message tells where the key stands, not the key."""
    try:
        return flags.key(line)
    except argparse.ArgumentTypeError as error:
        raise ServerError(f"{file}, line {number}: {error}") from None
