"""Pieces of calls: what a reader of calls makes of a text, and when a call that grows may leave."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Protocol

from ominix.engines.text.json_scanner import NotJson

HELD = 128  # letters of arguments; most calls have fewer, so most broken ones never begin


@dataclass(frozen=True)
class Begin:
    name: str
    id: str | None = None  # the model's own


@dataclass(frozen=True)
class Arguments:
    text: str


@dataclass(frozen=True)
class End:
    """The call is whole: its arguments are a JSON object."""


@dataclass(frozen=True)
class Unread:
    """Text that is no call."""

    text: str


Piece = Begin | Arguments | End | Unread


class Calls(Protocol):
    """What stands between the marks of calls, as it grows."""

    def add(self, text: str) -> list[Piece]: ...

    def end(self, *, cut: bool) -> list[Piece]:
        """`cut`: the model would have gone on."""
        ...


class OneCall:
    """A call whose name and arguments come in any order."""

    def __init__(self, known: Set[str] | None) -> None:
        """`known`: only these names begin a call; None: all do."""
        self.name: str | None = None
        self.id: str | None = None
        self.begun = False
        self.is_whole = False  # the arguments are; something else of the call may be missing
        self._known = known
        self._arguments = [""]  # that have not left, in pieces as they came
        self._size = 0

    @property
    def is_long(self) -> bool:
        return self._size > HELD and self.name is not None

    def add(self, letters: str) -> None:
        self._arguments[-1] += letters
        self._size += len(letters)

    def pause(self) -> None:
        """What comes now is another piece."""
        if self._arguments[-1]:
            self._arguments.append("")

    def take(self) -> list[Piece]:
        """What may leave."""
        return self._taken() if self.begun or self.is_long else []

    def close(self) -> list[Piece]:
        """All of it is there."""
        if not (self.begun or self._arguments[0]):
            self.add("{}")
        return [*self._taken(), End()]

    def _taken(self) -> list[Piece]:
        """Raises NotJson for a name that begins no call."""
        name = self.name
        if not name or not name.isprintable() or (self._known is not None and name not in self._known):
            raise NotJson
        pieces: list[Piece] = [] if self.begun else [Begin(name, self.id)]
        pieces += [Arguments(text) for text in self._arguments if text]
        self.begun, self._arguments = True, [""]
        return pieces
