"""Channels: an answer's text, cut into what is thought, what is answered and what calls a tool.

    text with marks --AnswerParser--> passages: reasoning, answer, tool_call

The parser is a state machine. Its table is the model's answer format (models/answer_formats.py); stop strings
and the marks of tool calls join it where a job has them:

    header -----> answer ------> stopped     header: the text before a message, which names its channel
      ^  ^ \\       ^  ^
      |  |  \\      |  v                      a call returns to where it began, or to the next header
      |  |   +> reasoning
      |  |         ^
      |  |         v
      |  +---- tool_call <---> answer

- Text that could still become a mark or a stop string is held back, and only that long; so is a header.
- Stop strings count in the answer alone.
- However the text is cut into pieces, the same passages come out, and each letter comes out once: only marks
  and the line breaks beside them are dropped.
- A tool_call passage is raw text, its marks included: a reader that finds no call in it can give it back.

Knows special tokens only as marks in a text, and nothing of events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ominix.engines.text import transitions
from ominix.engines.text.marks import Marks
from ominix.engines.text.transitions import STOPPED, CallMarks, Transition
from ominix.models.answer_formats import ANSWER, BY_HEADER, HEADER, REASONING, TOOL_CALL, AnswerFormat

MOST_HEADER = 256  # letters; a longer one is text of a model that does without headers
HEADER_LOOK = 24  # letters, by which a text that does not look like a header is known

# What a passage is besides its text
BEGIN = "begin"  # a call begins: its text is the opening mark, or the header
END = "end"  # a call is over: its text is the closing mark, "" where there is none
RECALL = "recall"  # no text: what was answered up to here was reasoning that nothing had opened


@dataclass(frozen=True)
class Passage:
    """Text that may leave; `end` is how many letters of all text up to here are dealt with."""

    channel: str  # ANSWER, REASONING or TOOL_CALL
    text: str
    end: int
    edge: str = ""  # BEGIN, END, RECALL; "": text alone
    origin: str = ""  # of a tool_call: the channel where it belongs if it is no call


def beginning(format: AnswerFormat, marks: Marks, prompt_end: str) -> str | None:
    """The state that a prompt has opened or closed with a mark at its very end; None: it ends in none."""
    end = prompt_end.rstrip()
    behind: dict[str, str] = {}
    for edges in format.edges.values():
        behind |= {marks.encoded(mark).rstrip(): state for mark, state in edges}
    found = max((mark for mark in behind if end.endswith(mark)), key=len, default=None)
    if found is None or behind[found] != BY_HEADER:
        return behind[found] if found else None
    begins = max((end.rfind(mark) for mark, state in behind.items() if state == HEADER), default=-1)
    return format.behind_header(marks.spelled(end[max(begins, 0) :]))


class AnswerParser:
    """Text in, in pieces of any size; passages out."""

    def __init__(
        self,
        format: AnswerFormat,
        marks: Marks,
        *,
        begins: str | None = None,
        stops: Sequence[str] = (),
        calls: Sequence[CallMarks] = (),
        held: bool = False,
    ) -> None:
        """`begins`: what `beginning` says of the prompt. `calls`: none for a job without tools. `held`: to a
        grammar, so that marks inside of the answer are text."""
        self._format = format
        self._marks = marks
        self._calls = tuple(calls)
        self._table = transitions.table(format, marks, stops, calls)
        if held:
            self._table[ANSWER] = [replace(w, first=w.state != STOPPED) for w in self._table[ANSWER]]
        self._in_call: list[Transition] = []
        self.state = begins or format.begins
        self._unopened = _unopened(format, marks) if begins is None and not held else []
        self._held = ""
        self._header = ""
        self._header_mark = 0  # letters of the mark that it begins with
        self._end = 0  # letters dealt with
        self._fresh = bool(format.edges)  # just behind a mark: line breaks there are the mark's
        self._answered = False  # more than white space
        self._origin = ANSWER  # of the call that is open

    @property
    def reasoning(self) -> bool:
        return self.state == REASONING

    @property
    def stopped(self) -> bool:
        return self.state == STOPPED

    def add(self, text: str) -> list[Passage]:
        """What may leave now that `text` has come."""
        self._held += text
        passages: list[Passage] = []
        while not self.stopped:
            ways = self._ways_out()
            found = transitions.first(self._held, ways, self._answered)
            size = found[0] if found else len(self._held) - transitions.undecided(self._held, ways)
            if self._is_no_header(size):
                self._give_up_header()
                continue
            passages += self._cut(size)
            if found is None:
                break
            passages += self._pass(found[1])
        return passages

    def close(self, *, whole: bool = True) -> list[Passage]:
        """What was held back, as nothing comes any more. `whole`: the model has ended the answer itself."""
        if self.stopped:
            return []
        passages: list[Passage] = []
        if self.state == HEADER and not self._looks_like_header(len(self._held)):
            self._give_up_header()
            passages = self.add("")
        passages += self._cut(len(self._held))
        return [*passages, self._call_text("", END)] if self.state == TOOL_CALL and whole else passages

    def _ways_out(self) -> list[Transition]:
        extra = {TOOL_CALL: self._in_call, ANSWER: self._unopened}.get(self.state)
        return self._table[self.state] + extra if extra else self._table[self.state]

    def _cut(self, size: int) -> list[Passage]:
        """Let so many letters go."""
        text, self._held = self._held[:size], self._held[size:]
        self._end += size
        if self.state == HEADER:
            self._header += text
            return []
        if self.state == TOOL_CALL:
            return [self._call_text(text)] if text else []
        return self._said(self._marks.silenced(text))

    def _said(self, text: str) -> list[Passage]:
        if self._fresh:
            text = text.lstrip("\n")
            self._fresh = not text
        self._answered |= self.state == ANSWER and bool(text.strip())
        return [Passage(self.state, text, self._end)] if text else []

    def _call_text(self, text: str, edge: str = "") -> Passage:
        return Passage(TOOL_CALL, self._marks.spelled(text), self._end, edge, self._origin)

    def _pass(self, way: Transition) -> list[Passage]:
        """Over the pattern at the beginning of what is held, to what is behind it."""
        before, mark = self.state, way.pattern
        self._held = self._held[len(mark) :]
        self._end += len(mark)
        self.state = way.state
        self._fresh = True
        begins_other = way.state == HEADER or way.call is not None
        passages = [self._call_text("" if begins_other else mark, END)] if before == TOOL_CALL else []
        if way.call:
            return [*passages, self._begun(before, way.call, mark)]
        return passages + self._arrived(mark)

    def _arrived(self, mark: str) -> list[Passage]:
        if self.state == REASONING:
            self._unopened = []
        elif self.state == HEADER:
            self._header, self._header_mark = mark, len(mark)
        elif self.state == BY_HEADER:
            return self._headed(mark)
        elif self.state == RECALL:
            self.state, self._unopened, self._answered = ANSWER, [], False
            return [Passage(REASONING, "", self._end, RECALL)]
        return []

    def _begun(self, before: str, call: CallMarks, mark: str) -> Passage:
        if before != TOOL_CALL:
            self._origin = ANSWER if before == HEADER else before
        if call.end:
            self._in_call = [Transition(self._marks.encoded(call.end), self._origin)]
        else:  # one that only stands first is followed by no other
            self._in_call = transitions.beginnings(self._marks, [] if call.first else [call])
        return self._call_text(mark, BEGIN)

    def _headed(self, mark: str) -> list[Passage]:
        """Behind a whole header. A call without tools in the job is an answer like another."""
        header, self._header = self._header + mark, ""
        self.state = self._format.behind_header(self._marks.spelled(header))
        if self.state != TOOL_CALL:
            return []
        if not self._calls:
            self.state = ANSWER
            return []
        self._origin, self._in_call = ANSWER, []
        return [self._call_text(header, BEGIN)]

    def _is_no_header(self, size: int) -> bool:
        """Of the header with so many letters of what is held."""
        letters = len(self._header) + size
        if self.state != HEADER or letters <= HEADER_LOOK:
            return False
        return letters > MOST_HEADER or not self._looks_like_header(size)

    def _looks_like_header(self, size: int) -> bool:
        begin = (self._header + self._held[:size])[:HEADER_LOOK]
        return re.match(self._format.header, self._marks.spelled(begin)) is not None

    def _give_up_header(self) -> None:
        """It is text, and read as such from its beginning."""
        text = self._header[self._header_mark :]
        self._held, self._header, self.state = text + self._held, "", ANSWER
        self._header_mark = 0
        self._end -= len(text)


def _unopened(format: AnswerFormat, marks: Marks) -> list[Transition]:
    """Some reasoning is closed that neither prompt nor model has opened: the template has lost the mark."""
    if format.tags is None:
        return []
    closing = marks.encoded(format.tags[1])
    return [Transition(line + closing, RECALL) for line in ("", "\n")]
