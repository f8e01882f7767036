"""Transitions: the patterns that lead out of a state of an answer, and where a text holds one.

Patterns are texts with marks in them (marks.py). Knows nothing of what is done in a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ominix.engines.text.marks import Marks
from ominix.models.answer_formats import ANSWER, HEADER, REASONING, TOOL_CALL, AnswerFormat

STOPPED = "stopped"


@dataclass(frozen=True)
class CallMarks:
    """What stands around a tool call."""

    start: str
    end: str = ""  # "": the end of the answer, or the next call
    first: bool = False  # a call only if nothing is answered before it


@dataclass(frozen=True)
class Transition:
    pattern: str
    state: str  # behind it
    call: CallMarks | None = None  # that it begins
    first: bool = False  # counts only where nothing was answered


def table(
    format: AnswerFormat, marks: Marks, stops: Sequence[str], calls: Sequence[CallMarks]
) -> dict[str, list[Transition]]:
    """By the state they leave: those of the format, of stop strings and of the beginnings of calls."""
    found: dict[str, list[Transition]] = {ANSWER: [], REASONING: [], HEADER: [], TOOL_CALL: []}
    for state, edges in format.edges.items():
        breaks = ("", "\n", "\n\n") if state == REASONING else ("",)
        found[state] += [
            Transition(line + marks.encoded(mark), behind) for mark, behind in edges for line in breaks
        ]
    found[ANSWER] += [Transition(marks.encoded(stop), STOPPED) for stop in stops]
    for state in (ANSWER, REASONING, HEADER):
        found[state] += beginnings(marks, [call for call in calls if state == ANSWER or not call.first])
    return {state: [way for way in ways if way.pattern] for state, ways in found.items()}


def beginnings(marks: Marks, calls: Sequence[CallMarks]) -> list[Transition]:
    """Line breaks before a call are no answer."""
    return [
        Transition(line + marks.encoded(call.start), TOOL_CALL, call, call.first)
        for call in calls
        for line in ("", "\n", "\n\n")
    ]


def first(text: str, ways: Sequence[Transition], answered: bool) -> tuple[int, Transition] | None:
    """The transition that ends first, as it would have been found first letter by letter, and its place."""
    best: tuple[int, int, int] | None = None
    for number, way in enumerate(ways):
        at = text.find(way.pattern)
        if at < 0 or (way.first and (answered or text[:at].strip())):
            continue
        rank = (at + len(way.pattern), -len(way.pattern), number)
        best = min(best, rank) if best else rank
    if best is None:
        return None
    end, _, number = best
    return end - len(ways[number].pattern), ways[number]


def undecided(text: str, ways: Sequence[Transition]) -> int:
    """How many of the last letters could be the beginning of a pattern."""
    longest = max((len(way.pattern) for way in ways), default=0) - 1
    tails = (text[-size:] for size in range(min(longest, len(text)), 0, -1))
    return next((len(tail) for tail in tails if any(way.pattern.startswith(tail) for way in ways)), 0)
