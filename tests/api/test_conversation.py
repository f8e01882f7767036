from __future__ import annotations

from ominix.api import conversation
from ominix.wire.events import ChatDone, Delta, Finished, Started, TokenLogprob
from ominix.wire.jobs import Message


def test_messages_are_typed_and_otherwise_as_they_came():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    given = [
        {"role": "developer", "content": parts, "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "content": "done", "tool_call_id": "1", "name": None},
        {"role": "assistant"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "tool_calls": []},
        {"role": "assistant", "content": None, "refusal": "never"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "done"},
    ]

    assert conversation.messages(given) == (
        Message("developer", ("one", "two"), name="ann"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "done", tool_call_id="1"),
        Message("assistant", ""),
        Message("assistant", ("no",)),
        Message("assistant", "never"),
        Message("assistant", tool_calls=({"type": "function", "function": call["function"]},)),
        Message("tool", "done", name="f"),
    )


def test_events_are_collected_by_choice():
    own, other = TokenLogprob("a", -0.5, (97,)), TokenLogprob("b", -0.1, (98,))
    events = [
        Started(),
        Delta("hm", reasoning=True),
        Delta("x", index=1),
        Delta("a", logprobs=(own,)),
        Delta("b", logprobs=(other,)),
        Finished("stop", index=1),
        Finished("length"),
        ChatDone(3, 4),
    ]

    (first, second), done = conversation.collected(events, 2)

    assert (first.content, first.reasoning, first.finish_reason) == (["a", "b"], ["hm"], "length")
    assert first.logprobs == [own, other]
    assert (second.content, second.reasoning, second.finish_reason) == (["x"], [], "stop")
    assert done == ChatDone(3, 4)


def test_reasoning_that_shows_late_is_moved():
    events = [Delta("hm"), Delta("", reasoning=True, recalls=True), Delta("yes"), Finished("stop")]

    (choice,), _ = conversation.collected(events, 1)

    assert (choice.reasoning, choice.content) == (["hm", ""], ["yes"])
