"""Flags whose defaults come from OMINIX_* variables, and the values that flags take.

A value is refused here if it can only do harm: the message says what is allowed, and which variable it came
from if no flag gave it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ominix.config import MIB

MOST_SECONDS = 1e6  # eleven days
KEY = re.compile(r"[!-~]+(?: +[!-~]+)*")  # visible ASCII: more than that not every client can send
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")

T = TypeVar("T")


class _Variable(str):
    """The text of a variable, which argparse parses as a flag's if the flag is not given."""

    name: str


class Flags:
    """Adds flags to one command's parser. A variable's text is parsed as the flag's is."""

    def __init__(
        self, parser: argparse.ArgumentParser, environ: Mapping[str, str], group: str | None = None
    ) -> None:
        self._parser = parser
        self._environ = environ
        self._into = parser.add_argument_group(group) if group else parser

    def group(self, title: str) -> Flags:
        """The same for a part of the help with a title of its own."""
        return Flags(self._parser, self._environ, title)

    def one(
        self,
        name: str,
        kind: Callable[[str], object],
        text: str,
        *,
        dest: str | None = None,
        default: float | str | None = None,
        metavar: str | None = None,
    ) -> None:
        variable = _variable(name)
        shown = f"{default:g}" if isinstance(default, float) else default
        about = f"{text} ({variable})" if default is None else f"{text}; default {shown} ({variable})"
        # argparse parses a default that is text: so the unit of a default is the flag's, not the field's.
        value = self._value(variable) or (None if default is None else str(shown))
        self._into.add_argument(
            f"--{name}", dest=dest, type=self._naming_variables(kind), default=value,
            metavar=metavar or _unit(name), help=about,
        )  # fmt: skip

    def _value(self, variable: str) -> _Variable | None:
        if not self._environ.get(variable):
            return None
        value = _Variable(self._environ[variable])
        value.name = variable
        return value

    def _naming_variables(self, kind: Callable[[str], T]) -> Callable[[str], T]:
        def parsed(text: str) -> T:
            try:
                return kind(text)
            except (ValueError, argparse.ArgumentTypeError) as error:
                if isinstance(text, _Variable):
                    self._parser.error(f"{text.name}: {error}")
                raise argparse.ArgumentTypeError(str(error)) from None

        return parsed

    def many(
        self, name: str, dest: str, kind: Callable[[str], object], text: str, *, metavar: str | None = None
    ) -> None:
        """May be repeated; the variable separates with commas."""
        variable = _variable(name)
        given = [part.strip() for part in self._environ.get(variable, "").split(",") if part.strip()]
        try:
            default = tuple(kind(part) for part in given)
        except (ValueError, argparse.ArgumentTypeError) as error:
            self._parser.error(f"{variable}: {error}")
        self._into.add_argument(
            f"--{name}", dest=dest, action=_Extend, type=kind, default=default,
            metavar=metavar or _unit(name), help=f"{text}; may be repeated ({variable})",
        )  # fmt: skip

    def switch(self, name: str, text: str, *, hidden: bool = False) -> None:
        variable = _variable(name)
        given = self._environ.get(variable, "").lower()
        if given not in ON + OFF:
            self._parser.error(f"{variable}: must be 1 or 0, not {given!r}")
        about = argparse.SUPPRESS if hidden else f"{text} ({variable}=1)"
        self._into.add_argument(f"--{name}", action="store_true", default=given in ON, help=about)

    def aliases(self) -> None:
        self.many("alias", "aliases", alias, "another name for a model or a repository", metavar="NAME=MODEL")

    def address(self) -> None:
        """Where the running server is."""
        self.one("host", str, "the server's address", default="127.0.0.1")
        self.one("port", port, "the server's port", default=8080)


class _Extend(argparse.Action):
    # Any: argparse's own types.
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), values))


def _variable(flag: str) -> str:
    return "OMINIX_" + flag.upper().replace("-", "_")


def _unit(flag: str) -> str:
    """The last word of a flag's name is what it takes: --memory-gib GIB."""
    return flag.rpartition("-")[2].upper()


def between(least: float, most: float, unit: str = "") -> Callable[[str], float]:
    """A number with bounds, which are allowed themselves."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:  # nan neither
            raise argparse.ArgumentTypeError(
                f"must be a number from {least:g} to {most:.12g}{unit}, not '{text}'"
            )
        return value

    return number


def seconds(least: float) -> Callable[[str], float]:
    return between(least, MOST_SECONDS, " (seconds)")


def port(text: str) -> int:
    return _whole(text, 0, 65535, "port must be a number")


def mebibytes(text: str) -> int:
    """MiB into bytes. The bounds: a chat request with a few pages of text, and what a disk holds."""
    return int(between(0.01, 1 << 20, " (MiB)")(text) * MIB)


def gibibytes(text: str) -> int:
    """GiB into bytes. Less than the least holds no worker, whatever its model."""
    return int(between(0.1, 1 << 20, " (GiB)")(text) * 1024 * MIB)


def choice(*values: str) -> Callable[[str], str]:
    def one_of(text: str) -> str:
        if text not in values:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(values)}, not '{text}'")
        return text

    return one_of


def count(least: int, most: int) -> Callable[[str], int]:
    return lambda text: _whole(text, least, most, "must be a whole number")


def _whole(text: str, least: int, most: int, said: str) -> int:
    if not re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", text) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{said} from {least} to {most}, not '{text}'")
    return int(text)


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
