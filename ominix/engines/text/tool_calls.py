"""Calls of tools in an answer: passages between the marks of calls in, events out.

    BEGIN --text--> what reads this family's calls --> ToolCall, ToolArguments ... --END--> ready for the next
                                                  \\--> no call: given as text, with a warning in the log

Nothing of a call is ever text, and no letter of what is no call is lost. Spaces around calls are neither:
they wait until it is known what follows. Knows nothing of tokens.
"""

from __future__ import annotations

import logging
import re
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ominix.engines.text.call_pieces import Arguments, Begin, Calls, End, Piece, Unread
from ominix.engines.text.channels import BEGIN, END, RECALL, Passage
from ominix.engines.text.parsed_calls import ParsedCalls
from ominix.engines.text.transitions import CallMarks
from ominix.engines.text.written_calls import HeaderCalls, HeaderOrList, JsonCalls
from ominix.models.answer_formats import REASONING, TOOL_CALL
from ominix.models.call_formats import CallFormat
from ominix.wire.events import Delta, ToolArguments, ToolCall
from ominix.wire.jobs import Message

CallEvent = Delta | ToolCall | ToolArguments

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


class ToolCalls:
    """Those of one choice. In: passages of the answer and of calls. Out: events without log-probabilities."""

    def __init__(
        self,
        format: CallFormat,
        tools: Sequence[Mapping[str, Any]],
        ids: CallIds,
        *,
        index: int,
        parallel: bool,
    ) -> None:
        """`tools`: as tool_prompt shows them. `parallel`: there may be more than one call."""
        self._format = format
        self._tools = tools
        self._ids = ids
        self._index = index
        self._parallel = parallel
        self._open: OpenCall | None = None
        self._spaces = ""  # of the answer: what follows decides about them
        self._just_called = False
        self.called = False  # a call has begun
        self.stopped = False  # there was the one call that may be

    @property
    def marks(self) -> list[CallMarks]:
        return [CallMarks(mark.start, mark.end, mark.first) for mark in self._format.marks]

    def add(self, passage: Passage) -> list[CallEvent]:
        if passage.channel != TOOL_CALL:
            return self._said(passage)
        if passage.edge == BEGIN:
            self._open = OpenCall(self._format, self._tools, passage)
            return []
        assert self._open
        pieces = self._open.add(passage)
        if passage.edge == END:
            self._open = None
        return self._events(pieces, passage.origin)

    def close(self) -> list[CallEvent]:
        """Nothing comes any more."""
        events = self._events(self._open.cut(), self._open.origin) if self._open else []
        if self._spaces and not self.called:
            events.append(Delta(self._spaces, self._index))
        self._open, self._spaces = None, ""
        return events

    def _said(self, passage: Passage) -> list[CallEvent]:
        if passage.channel == REASONING:
            return [Delta(passage.text, self._index, True, recalls=passage.edge == RECALL)]
        text = self._spaces + passage.text
        if self._just_called:
            text = text.lstrip()
        said = text.rstrip()
        self._spaces = text[len(said) :]
        self._just_called = self._just_called and not said
        return [Delta(said, self._index)] if said else []

    def _events(self, pieces: Iterable[Piece], origin: str) -> list[CallEvent]:
        events: list[CallEvent] = []
        for piece in pieces:
            if self.stopped:
                break
            match piece:
                case Begin(name, id):
                    self.called, self._spaces = True, ""
                    events.append(ToolCall(self._ids.fresh(id), name, self._index))
                case Arguments(text):
                    events.append(ToolArguments(text, self._index))
                case End():
                    self._just_called = True
                    self.stopped = not self._parallel
                case Unread(text):
                    spaces, self._spaces, self._just_called = self._spaces, "", False
                    events.append(Delta(spaces + text, self._index, origin == REASONING))
        return events


class OpenCall:
    """What stands between two marks, from the first one on."""

    def __init__(self, format: CallFormat, tools: Sequence[Mapping[str, Any]], begin: Passage) -> None:
        mark = next((mark for mark in format.marks if mark.start == begin.text.strip()), None)
        self.origin = begin.origin
        self._needs_end = bool(mark and mark.end and format.form == "parsed")
        self._calls = reader(format, tools, only_known=mark is not None and mark.first)
        self._mark = begin.text  # as long as nothing has come out
        self._any = False  # a call has
        self._pieces: list[Piece] = []
        if mark is None or mark.first:  # the header of a message, or the first letter of a call
            self._mark, self._pieces = "", self._calls.add(begin.text)

    def add(self, passage: Passage) -> list[Piece]:
        if passage.edge == END:
            pieces = self._end(passage.text, cut=self._needs_end and not passage.text)
            if not self._any:
                log.warning("an answer holds a call that cannot be read; it is given as text")
            return pieces
        return self._out(self._calls.add(passage.text))

    def cut(self) -> list[Piece]:
        """The answer ends in the middle of it."""
        return self._end("", cut=True)

    def _end(self, mark: str, *, cut: bool) -> list[Piece]:
        pieces = self._out(self._calls.end(cut=cut))
        return pieces if self._any else pieces + self._out([Unread(mark)])

    def _out(self, pieces: Iterable[Piece]) -> list[Piece]:
        """With the mark in front of what is no call."""
        found, self._pieces = self._pieces, []
        for piece in pieces:
            self._any = self._any or isinstance(piece, Begin)
            if isinstance(piece, Unread) and not self._any:
                piece, self._mark = Unread(self._mark + piece.text), ""
            found.append(piece)
        return [piece for piece in found if piece != Unread("")]


def reader(format: CallFormat, tools: Sequence[Mapping[str, Any]], *, only_known: bool) -> Calls:
    """What reads the text of one passage. `only_known`: names of other tools begin no call."""
    known = {tool["function"]["name"] for tool in tools} if only_known else None
    if format.parse:
        return ParsedCalls(format.parse, tools, only_known=only_known)
    if format.form == "header":
        headers = HeaderCalls(re.compile(format.header), re.compile(format.gap))
        return HeaderOrList(headers) if format.or_list else headers
    return JsonCalls(known)
