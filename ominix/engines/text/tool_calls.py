"""Calls of tools in an answer: passages between the marks of calls in, events out.

    BEGIN --text--> what reads this family's calls --> ToolCall, ToolArguments ... --END--> ready for the next
                                                  \\--> no call: given as text, with a warning in the log

Nothing of a call is ever text, and no letter of what is no call is lost. Spaces around calls are neither:
they wait until it is known what follows. Knows nothing of tokens.
"""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ominix.engines.text.parsed_calls import ParsedCalls
from ominix.engines.text.written_calls import Arguments, Begin, Calls, End, HeaderCalls, JsonCalls, Unread
from ominix.models.call_formats import CallFormat, pattern
from ominix.wire.jobs import Message

log = logging.getLogger("ominix.chat")

LETTERS = string.ascii_letters + string.digits
LONGEST_ID = 64  # of those that a model gives


class CallIds:
    """Ids for calls, unique in a conversation and in its answer."""

    def __init__(self, messages: Iterable[Message], *, short: bool) -> None:
        self._short = short
        self._used = {str(call.get("id")) for message in messages for call in message.tool_calls or ()}

    def fresh(self, own: str | None) -> str:
        """`own`: the model's, which its template may count on."""
        if own and own.isascii() and own.isprintable() and len(own) <= LONGEST_ID and own not in self._used:
            self._used.add(own)
            return own
        size = 9 if self._short else 24
        return ("" if self._short else "call_") + "".join(secrets.choice(LETTERS) for _ in range(size))


def reader(format: CallFormat, tools: Sequence[Mapping[str, Any]], *, only_known: bool) -> Calls:
    """What reads the text of one passage. `only_known`: names of other tools begin no call."""
    known = {tool["function"]["name"] for tool in tools} if only_known else None
    if format.form == "parsed":
        assert format.parse
        return ParsedCalls(format.parse, tools)
    if format.form == "header":
        return _HeaderOrList(
            HeaderCalls(pattern(format.header), pattern(format.gap), known), JsonCalls(known)
        )
    return JsonCalls(known)


class _HeaderOrList:
    """Some families that write headers have written lists in JSON before: the first letter says which."""

    def __init__(self, header: Calls, objects: Calls) -> None:
        self._header = header
        self._objects = objects
        self._chosen: Calls | None = None
        self._held = ""

    def add(self, text: str) -> list[Begin | Arguments | End | Unread]:
        if self._chosen is None:
            self._held += text
            begin = self._held.lstrip()[:1]
            if not begin:
                return []
            self._chosen = self._objects if begin in "[{" else self._header
            text, self._held = self._held, ""
        return self._chosen.add(text)

    def end(self, *, cut: bool) -> list[Begin | Arguments | End | Unread]:
        if self._chosen is None:
            return [Unread(self._held)] if self._held else []
        return self._chosen.end(cut=cut)
