"""Calls of tools out of text that is whole: where only a parser of the model's family can read it.

mlx-lm's parsers raise anything, and on text that a hostile prompt has asked for they compute for minutes:
one is given so much of the processor's time, then a signal ends it. So calls are read on the main thread.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from ominix.engines.text.call_pieces import Arguments, Begin, End, Piece, Unread

Tool = Mapping[str, Any]  # {"type": "function", "function": {...}}
Parse = Callable[[str, Sequence[Tool]], Any]  # whatever it finds: one call or a list, if it is right

PARSE_SECONDS = 0.3  # of the processor; a call of 100 kB takes some 5 ms
NAME = re.compile(r"[\w.:/-]{1,128}")
KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


class Late(Exception):
    """The parser has had its time."""


class ParsedCalls:
    """All between two marks, read when the second is there."""

    def __init__(self, parse: Parse, tools: Sequence[Tool], *, only_known: bool = False) -> None:
        """`only_known`: names of other tools begin no call."""
        self._parse = parse
        self._only_known = only_known
        self._tools = list(tools)
        self._text = ""

    def add(self, text: str) -> list[Piece]:
        self._text += text
        return []

    def end(self, *, cut: bool) -> list[Piece]:
        calls = [] if cut else self._calls()
        if not calls:
            return [Unread(self._text)] if self._text else []
        return [piece for name, id, text in calls for piece in (Begin(name, id), Arguments(text), End())]

    def _calls(self) -> list[tuple[str, str | None, str]]:
        """All, or none if one of them is wrong."""
        try:
            with (
                bounded(PARSE_SECONDS),
                warnings.catch_warnings(action="ignore"),
            ):  # Python's, of its own texts
                found = self._parse(self._text, self._tools)
            return [self._call(call) for call in (found if isinstance(found, list) else [found])]
        except Exception:  # parsers raise AttributeError, RecursionError, MemoryError ... for broken text
            return []

    def _call(self, call: Mapping[str, Any]) -> tuple[str, str | None, str]:
        """Name, id and arguments. Raises whatever is wrong with it."""
        name, arguments, id = call["name"], call.get("arguments"), call.get("id")
        schema = self._schema(name)
        if not isinstance(arguments, dict) or not NAME.fullmatch(name):
            raise ValueError("not a call")
        if schema is None and (self._only_known or not arguments or set(arguments) == {"raw"}):
            raise ValueError("not a call")  # GLM's parser makes one of any text
        written = json.dumps(_typed(arguments, schema or {}), ensure_ascii=False, allow_nan=False)
        written.encode()  # half a character cannot leave
        return name, id if isinstance(id, str) else None, written

    def _schema(self, name: str) -> Mapping[str, Any] | None:
        """Of the arguments; None for a tool that is not there."""
        for tool in self._tools:
            if tool["function"]["name"] == name:
                parameters: Mapping[str, Any] = tool["function"].get("parameters") or {}
                return parameters
        return None


def _typed(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """With values of the types that the tool's schema asks for: such formats write all values as text."""
    properties = schema.get("properties")
    wanted = properties if isinstance(properties, dict) else {}
    return {key: _value(value, wanted.get(key)) for key, value in arguments.items()}


def _value(value: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    kinds = KINDS.get(kind, ()) if isinstance(kind, str) else ()
    if not kinds or type(value) in kinds:
        return value
    if kinds == (str,):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            read = json.loads(value)
            return read if type(read) in kinds else value
    return value


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raises Late in the main thread when the process has computed so long; elsewhere nothing is bounded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _late(number: int, frame: FrameType | None) -> None:
    raise Late
