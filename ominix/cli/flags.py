"""Flags whose defaults come from OMINIX_* variables, and the values that flags take.

A value is refused here if it can only do harm: the message says what is allowed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ominix.config import MIB

MOST_SECONDS = 1e6  # eleven days
KEY = re.compile(r"[!-~]+(?: +[!-~]+)*")  # visible ASCII: more than that not every client can send


class Flags:
    """Adds flags to one command's parser. A variable's text is parsed as the flag's is."""

    def __init__(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        self._parser = parser
        self._environ = environ

    def one(
        self,
        name: str,
        kind: Callable[[str], object],
        text: str,
        *,
        dest: str | None = None,
        default: float | str | None = None,
    ) -> None:
        variable = _variable(name)
        shown = f"{default:g}" if isinstance(default, float) else default
        about = f"{text} ({variable})" if default is None else f"{text}; default {shown} ({variable})"
        # argparse parses a default that is text: so the unit of a default is the flag's, not the field's.
        value = self._environ.get(variable, None if default is None else str(shown))
        metavar = _metavar(name)
        self._parser.add_argument(
            f"--{name}", dest=dest, type=kind, default=value, metavar=metavar, help=about
        )

    def many(self, name: str, dest: str, kind: Callable[[str], object], text: str) -> None:
        """May be repeated; the variable separates with commas."""
        variable = _variable(name)
        given = [part.strip() for part in self._environ.get(variable, "").split(",") if part.strip()]
        try:
            default = tuple(kind(part) for part in given)
        except (ValueError, argparse.ArgumentTypeError) as error:
            self._parser.error(f"{variable}: {error}")
        self._parser.add_argument(
            f"--{name}", dest=dest, action=_Extend, type=kind, default=default,
            metavar=_metavar(name), help=f"{text}; may be repeated ({variable})",
        )  # fmt: skip

    def switch(self, name: str, text: str) -> None:
        variable = _variable(name)
        on = self._environ.get(variable, "").lower() in ("1", "true", "yes", "on")
        self._parser.add_argument(f"--{name}", action="store_true", default=on, help=f"{text} ({variable}=1)")

    def aliases(self) -> None:
        self.many("alias", "aliases", alias, "NAME=MODEL: another name for a model or a repository")

    def address(self) -> None:
        """Where the running server is."""
        self.one("host", str, "the server's address", default="127.0.0.1")
        self.one("port", port, "the server's port", default=8080)


class _Extend(argparse.Action):
    # Any: argparse's own types.
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), values))


def _variable(flag: str) -> str:
    return "OMINIX_" + _metavar(flag)


def _metavar(flag: str) -> str:
    return flag.upper().replace("-", "_")


# The inner functions' names are what argparse calls a value that is none: "invalid number value: 'x'".


def between(least: float, most: float, unit: str = "") -> Callable[[str], float]:
    """A number with bounds, which are allowed themselves."""

    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:  # nan neither
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:.12g}{unit}")
        return value

    return number


def seconds(least: float) -> Callable[[str], float]:
    return between(least, MOST_SECONDS, " seconds")


def port(text: str) -> int:
    return count(0, 65535)(text)


def mebibytes(text: str) -> int:
    """MiB into bytes. The bounds: a chat request with a few pages of text, and what a disk holds."""
    return int(between(0.01, 1 << 20, " MiB")(text) * MIB)


def gibibytes(text: str) -> int:
    """GiB into bytes. Less than the least holds no worker, whatever its model."""
    return int(between(0.1, 1 << 20, " GiB")(text) * 1024 * MIB)


def choice(*values: str) -> Callable[[str], str]:
    def one_of(text: str) -> str:
        if text not in values:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(values)}")
        return text

    return one_of


def count(least: int, most: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return whole_number


def key(text: str) -> str:
    """An API key that every client can put into a header."""
    if not KEY.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "an API key is visible ASCII characters, at least one, without spaces at its ends"
        )
    return text


def folder(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def alias(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if not (name and equals and model):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MODEL")
    return name, model
