"""The parser of commands: short errors that say where help is, examples under the help, groups of flags."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from ominix.cli.terminal import printable

USAGE_ERROR = 2
HELP_COLUMNS = 26  # where the text begins
NAME_COLUMNS = 13
FLAG = re.compile(r"\[-[^\]]*\]")  # of a usage line


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line ends of descriptions and examples."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns - 2, 100)
        super().__init__(prog, max_help_position=HELP_COLUMNS, width=width)


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:  # Any: argparse's own arguments
        super().__init__(**{"formatter_class": _Formatter, **options})

    def shorten_usage(self) -> None:
        """Flags stand below it; a line of each of them again helps nobody."""
        words = FLAG.sub("", self.format_usage().removeprefix("usage: ").removeprefix(self.prog))
        self.usage = " ".join([self.prog, "[FLAGS]", *words.split()])

    def error(self, message: str) -> NoReturn:
        """Instead of a page of usage above it."""
        said = printable(f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")
        sys.stderr.write(said)
        raise SystemExit(USAGE_ERROR)


def examples(text: str) -> str:
    """The end of a command's help."""
    return f"examples:\n{text.strip(chr(10))}" if text else ""


def overview(groups: Mapping[str, Mapping[str, str]]) -> str:
    """Commands by group, a line each."""
    parts = [
        "\n".join([f"{title}:", *(f"  {name:<{NAME_COLUMNS}} {text}" for name, text in commands.items())])
        for title, commands in groups.items()
    ]
    return "\n\n".join(parts)
