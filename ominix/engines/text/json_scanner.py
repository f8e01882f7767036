"""JSON read letter by letter, while a model writes it.

    VALUE -> STRING | SCALAR | OBJECT | LIST -> AFTER -> (the enclosing one's KEY or VALUE)
    KEY -> COLON -> VALUE

Says of each letter whether it may stand there and where in the value it stands. Strict as JSON is, but for
line breaks and other control characters in strings, which models write as they are: they come out escaped.
Knows nothing of calls.
"""

from __future__ import annotations

import re
from enum import Enum, auto

SPACE = " \t\r\n"
SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
SCALAR_LETTERS = frozenset("-+.0123456789truefalsnE")
LONGEST_SCALAR = 400  # characters; the longest number that a program writes has 330
DEEPEST = 64  # nesting of objects and lists
ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
CLOSES = {"{": "}", "[": "]"}


class NotJson(ValueError):
    """The next letter cannot stand here."""


class State(Enum):
    VALUE = auto()
    VALUE_OR_END = auto()  # behind "["
    KEY = auto()
    KEY_OR_END = auto()  # behind "{"
    COLON = auto()
    STRING = auto()
    SCALAR = auto()
    AFTER = auto()  # behind a value


class JsonScanner:
    """One value. `path`: a key for each object around the current place, "" for lists and before keys."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.state = State.VALUE
        self.complete = False
        self._open: list[str] = []
        self._token = ""  # of the string or scalar that is being read, as it was written
        self._is_key = False
        self._escape = ""  # from the backslash on

    @property
    def depth(self) -> int:
        return len(self._open)

    @property
    def missing(self) -> str:
        """The brackets that would complete it, where nothing else is missing."""
        closable = self.state in (State.AFTER, State.KEY_OR_END, State.VALUE_OR_END)
        return "".join(CLOSES[o] for o in reversed(self._open)) if closable else ""

    def add(self, letter: str) -> str:
        """The letter as strict JSON has it. Raises NotJson."""
        if self.complete and letter not in SPACE:
            raise NotJson
        if self.state is State.STRING:
            return self._in_string(letter)
        if self.state is State.SCALAR:
            if letter in SCALAR_LETTERS and len(self._token) < LONGEST_SCALAR:
                self._token += letter
                return letter
            self._end_scalar()
        if letter not in SPACE:
            self._structural(letter)
        return letter

    def _structural(self, letter: str) -> None:
        state = self.state
        if letter == '"' and state in (State.VALUE, State.VALUE_OR_END, State.KEY, State.KEY_OR_END):
            self._is_key = state in (State.KEY, State.KEY_OR_END)
            self._token, self.state = "", State.STRING
        elif letter in CLOSES and state in (State.VALUE, State.VALUE_OR_END):
            self._begin(letter)
        elif letter in "}]" and self._open and CLOSES[self._open[-1]] == letter:
            self._end(letter)
        elif letter == ":" and state is State.COLON:
            self.state = State.VALUE
        elif letter == "," and state is State.AFTER and self._open:
            self.state = State.KEY if self._open[-1] == "{" else State.VALUE
            self.path[-1] = ""
        elif letter in SCALAR_LETTERS and state in (State.VALUE, State.VALUE_OR_END):
            self._token, self.state = letter, State.SCALAR
        else:
            raise NotJson

    def _begin(self, letter: str) -> None:
        if self.depth == DEEPEST:
            raise NotJson
        self._open.append(letter)
        self.path.append("")
        self.state = State.KEY_OR_END if letter == "{" else State.VALUE_OR_END

    def _end(self, letter: str) -> None:
        empty = State.KEY_OR_END if letter == "}" else State.VALUE_OR_END
        if self.state not in (State.AFTER, empty):
            raise NotJson
        self._open.pop()
        self.path.pop()
        self._after()

    def _after(self) -> None:
        self.state = State.AFTER
        self.complete = not self._open

    def _end_scalar(self) -> None:
        if not SCALAR.fullmatch(self._token):
            raise NotJson
        self._after()

    def _in_string(self, letter: str) -> str:
        if self._escape:
            self._in_escape(letter)
        elif letter == "\\":
            self._escape = letter
        elif letter == '"':
            if self._is_key:
                self.path[-1], self.state = self._token, State.COLON
            else:
                self._after()
            return letter
        elif letter < " ":
            letter = ESCAPES.get(letter, f"\\u{ord(letter):04x}")
        if self._is_key:
            self._token += letter
        return letter

    def _in_escape(self, letter: str) -> None:
        if len(self._escape) == 1 and letter not in '"\\/bfnrtu':
            raise NotJson
        if len(self._escape) > 1 and letter not in "0123456789abcdefABCDEF":
            raise NotJson
        self._escape += letter
        if self._escape[1] != "u" or len(self._escape) == 6:
            self._escape = ""
