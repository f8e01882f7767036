"""What endpoints that chat share: a request's messages for the job, and a job's events collected.

In: messages as the request has them, events. Out: typed messages, whole choices. Knows the shape of no
endpoint's answer, and nothing of chat templates: what a model wants to see of a message is the worker's
business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ominix.http.schemas import JsonObject
from ominix.wire.events import ChatDone, Delta, Event, Finished, TokenLogprob
from ominix.wire.jobs import Message


def messages(given: list[JsonObject]) -> tuple[Message, ...]:
    """Of a checked request."""
    return tuple(_message(each) for each in given)


def _message(given: JsonObject) -> Message:
    content, calls = given.get("content") or "", given.get("tool_calls")
    return Message(
        role=given["role"],
        content=content if isinstance(content, str) else tuple(part["text"] for part in content),
        name=given.get("name"),
        tool_calls=None if calls is None else tuple(calls),
        tool_call_id=given.get("tool_call_id"),
    )


@dataclass
class Choice:
    """One choice of an answer, in pieces as they came."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None


def collected(events: Iterable[Event], n: int) -> tuple[list[Choice], ChatDone]:
    """A whole answer of n choices, with its token counts."""
    choices, done = [Choice() for _ in range(n)], ChatDone(0, 0)
    for event in events:
        if isinstance(event, Delta):
            choice = choices[event.index]
            (choice.reasoning if event.reasoning else choice.content).append(event.text)
            choice.logprobs += event.logprobs
        elif isinstance(event, Finished):
            choices[event.index].finish_reason = event.reason
        elif isinstance(event, ChatDone):
            done = event
    return choices, done
