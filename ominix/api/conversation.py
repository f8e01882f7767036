"""What endpoints that chat share: a request's messages for the job, and a job's events collected.

In: messages as the request has them, events. Out: typed messages, whole choices. Knows the shape of no
endpoint's answer, and nothing of chat templates: what a model wants to see of a message is the worker's
business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ominix.http.schemas import JsonObject
from ominix.wire.events import ChatDone, Delta, Event, Finished, TokenLogprob, ToolArguments, ToolCall
from ominix.wire.jobs import Message


def messages(given: list[JsonObject]) -> tuple[Message, ...]:
    """Of a checked request."""
    return tuple(_message(each) for each in given)


def _message(given: JsonObject) -> Message:
    content = given.get("content") or given.get("refusal") or ""
    return Message(
        role="tool" if given["role"] == "function" else given["role"],
        content=content if isinstance(content, str) else tuple(part[part["type"]] for part in content),
        name=given.get("name"),
        tool_calls=_calls(given),
        tool_call_id=given.get("tool_call_id"),
    )


def _calls(given: JsonObject) -> tuple[dict[str, Any], ...] | None:
    """None without any: templates ask whether the field is there."""
    older = given.get("function_call")
    calls = [{"type": "function", "function": older}] if older else given.get("tool_calls")
    return tuple({**call, "type": "function"} for call in calls) if calls else None


@dataclass
class Call:
    """A call of a tool; its arguments in pieces as they came."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


@dataclass
class Choice:
    """One choice of an answer, in pieces as they came."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str | None = None


def collected(events: Iterable[Event], n: int) -> tuple[list[Choice], ChatDone]:
    """A whole answer of n choices, with its token counts."""
    choices, done = [Choice() for _ in range(n)], ChatDone(0, 0)
    for event in events:
        if isinstance(event, ChatDone):
            done = event
        elif isinstance(event, Delta | ToolCall | ToolArguments | Finished):
            _add(choices[event.index], event)
    return choices, done


def _add(choice: Choice, event: Delta | ToolCall | ToolArguments | Finished) -> None:
    if isinstance(event, Finished):
        choice.finish_reason = event.reason
        return
    if isinstance(event, ToolCall):
        choice.calls.append(Call(event.id, event.name))
    elif isinstance(event, ToolArguments):
        choice.calls[-1].arguments.append(event.text)
    else:
        if event.recalls:
            choice.reasoning, choice.content = choice.reasoning + choice.content, []
        (choice.reasoning if event.reasoning else choice.content).append(event.text)
    choice.logprobs += event.logprobs
