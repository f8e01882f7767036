"""Calls of tools out of text, while the model writes it: where name and arguments are JSON.

    text --letters--> JsonScanner --its path--> name, arguments --> Begin, Arguments ..., End
                                   \\--no JSON--> Unread

A call begins for the client when it is whole, or when its name and `HELD` letters of its arguments are there.
Up to then one that turns out to be broken can still be given as text; of a longer one what follows is handed
on as the model writes it. A call that lacks nothing but its last brackets gets them.
Every letter comes out in one piece or another, save marks, brackets and spaces around calls that were read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set

from ominix.engines.text.call_pieces import Arguments, Calls, End, OneCall, Piece, Unread
from ominix.engines.text.json_scanner import SPACE, JsonScanner, NotJson, State

NAME_KEYS = frozenset({"name", "tool_name", "function"})
ARGUMENT_KEYS = frozenset({"arguments", "parameters"})
ID_KEYS = frozenset({"id", "tool_call_id"})
OUTSIDE = (State.VALUE, State.COLON, State.KEY, State.KEY_OR_END)  # no part of a member's value


class _Growing:
    """What all that read letter by letter share: the end of a call, and what to do with broken ones."""

    def __init__(self, known: Set[str] | None) -> None:
        self._known = known
        self._scanner: JsonScanner | None = None  # of the call that is being read
        self._call: OneCall | None = None
        self._any = False  # there was a whole one
        self._raw = ""  # as written, since the last whole call
        self._broken = False
        self._pieces: list[Piece] = []

    def add(self, text: str) -> list[Piece]:
        for at, letter in enumerate(text):
            if self._broken:
                self._rest(text[at:])
                break
            self._raw += letter
            try:
                self._letter(letter)
                if self._call and self._call.is_long and not self._call.begun:
                    self._pieces += self._call.take()
            except NotJson:
                self._break(letter)
        if not self._broken:
            try:
                self._pieces += self._call.take() if self._call else []
            except NotJson:
                self._break("")
        if self._call:
            self._call.pause()
        return self._taken()

    def end(self, *, cut: bool) -> list[Piece]:
        if not self._broken:
            try:
                self._finish(cut)
            except NotJson:
                self._break("")
        return self._taken()

    def _letter(self, letter: str) -> None:
        raise NotImplementedError

    def _is_gap(self, text: str) -> bool:
        """Whether it may stand behind the last call."""
        raise NotImplementedError

    def _close(self) -> None:
        """The call is whole."""
        assert self._call is not None
        self._pieces += self._call.close()
        self._scanner, self._call, self._raw, self._any = None, None, "", True

    def _finish(self, cut: bool) -> None:
        if self._scanner is None:
            if not (self._any and self._is_gap(self._raw)):
                raise NotJson
            return
        if not cut:
            for letter in _end_of(self._scanner):
                self._letter(letter)
        if self._call is not None:
            if not (cut and self._call.begun):
                raise NotJson
            self._pieces += self._call.take()

    def _break(self, letter: str) -> None:
        """From `letter` on the text is no call's: it is handed on as arguments, if the call has begun."""
        self._broken = True
        if self._call is not None and self._call.begun:
            self._pieces += self._call.take()
            if self._call.is_whole:
                self._pieces, self._call = [*self._pieces, End()], None
            self._rest(letter)
        else:
            self._rest(self._raw)

    def _rest(self, text: str) -> None:
        begun = self._call is not None and self._call.begun
        self._pieces += [Arguments(text) if begun else Unread(text)] if text else []

    def _taken(self) -> list[Piece]:
        pieces, self._pieces = self._pieces, []
        return pieces


class JsonCalls(_Growing):
    """{"name": ..., "arguments": {...}}: one, several, or a list of them."""

    def __init__(self, known: Set[str] | None = None) -> None:
        super().__init__(known)
        self._values: dict[str, str] = {}  # of the members that count, as they are written

    def _letter(self, letter: str) -> None:
        if self._scanner is None:
            if letter != "{":
                if not self._is_gap(letter):
                    raise NotJson
                return
            self._scanner, self._call, self._values = JsonScanner(), OneCall(self._known), {}
        written = self._scanner.add(letter)
        key = self._member(letter)
        if key in ARGUMENT_KEYS:
            self._argument("arguments", written)
        elif key in NAME_KEYS | ID_KEYS:
            self._named(key, written)
        if self._scanner.complete:
            self._close()

    def _is_gap(self, text: str) -> bool:
        """Models write a bracket too many now and then."""
        return not text.strip(SPACE + "[],;" + ("}" if self._any else ""))

    def _path(self) -> list[str]:
        """Within the call, which some wrap in {"function": ...}."""
        assert self._scanner
        path = self._scanner.path
        return path[1:] if len(path) > 1 and path[0] == "function" else path

    def _member(self, letter: str) -> str:
        """The key whose value this letter is part of; "" for none."""
        assert self._scanner
        path, state = self._path(), self._scanner.state
        outside = state in OUTSIDE or (state is State.AFTER and letter in SPACE)
        return "" if not path or (len(path) == 1 and outside) else path[0]

    def _argument(self, key: str, written: str) -> None:
        assert self._scanner and self._call
        value = self._values[key] = self._values.get(key, "") + written
        is_whole = len(self._path()) == 1 and self._scanner.state is State.AFTER
        if value[0] == "{":
            self._call.add(written)
        elif value[0] == '"' and is_whole:
            self._call.add(_object(_text(value)))
        elif value[0] != '"' and not "null".startswith(value):
            raise NotJson
        if is_whole:
            self._call.is_whole = True
            self._values[key] = "x"  # a second one is no JSON of ours

    def _named(self, key: str, written: str) -> None:
        assert self._scanner and self._call
        value = self._values[key] = self._values.get(key, "") + written
        if value[0] != '"' or self._scanner.state is not State.AFTER:
            return
        if key in ID_KEYS:
            self._call.id = _text(value)
        else:
            self._call.name = _text(value)


class HeaderCalls(_Growing):
    """A header in the family's own form, then the arguments, an object in JSON; again and again."""

    def __init__(self, header: re.Pattern[str], gap: re.Pattern[str], known: Set[str] | None = None) -> None:
        """`header`: with the group `name`, perhaps `id`. `gap`: what may stand behind the last call."""
        super().__init__(known)
        self._header = header
        self._gap = gap

    def _letter(self, letter: str) -> None:
        if self._scanner is None:
            if letter != "{":
                return
            found = self._header.fullmatch(self._raw[:-1])
            if found is None:
                raise NotJson
            self._scanner, self._call = JsonScanner(), OneCall(self._known)
            self._call.name, self._call.id = found["name"], found.groupdict().get("id")
        assert self._call
        written = self._scanner.add(letter)
        self._call.add(written)
        if self._scanner.complete:
            self._close()

    def _is_gap(self, text: str) -> bool:
        return self._gap.fullmatch(text) is not None


class HeaderOrList:
    """For families that have written lists in JSON before they wrote headers: the first letter says which."""

    def __init__(self, header: HeaderCalls) -> None:
        self._header = header
        self._chosen: Calls | None = None
        self._held = ""

    def add(self, text: str) -> list[Piece]:
        self._held += text
        begin = self._held.lstrip()[:1]
        if self._chosen is None and begin:
            self._chosen = JsonCalls() if begin in "[{" else self._header
        if self._chosen is None:
            return []
        text, self._held = self._held, ""
        return self._chosen.add(text)

    def end(self, *, cut: bool) -> list[Piece]:
        return self._chosen.end(cut=cut) if self._chosen else [Unread(self._held)]


def _end_of(scanner: JsonScanner) -> str:
    """The brackets that a value lacks, if it lacks nothing else."""
    if scanner.state is State.SCALAR:
        scanner.add(" ")
    return scanner.missing


def _text(value: str) -> str:
    """Of a text in JSON. Raises NotJson for two of them (a key stood twice) and for half a character."""
    try:
        text = str(json.loads(value))
        text.encode()
    except ValueError:
        raise NotJson from None
    return text


def _object(text: str) -> str:
    """Arguments that were written as text. Raises NotJson unless they are an object."""
    scanner = JsonScanner()
    written = "".join(map(scanner.add, text.strip(SPACE)))
    if not scanner.complete or written[:1] != "{":
        raise NotJson
    return written
