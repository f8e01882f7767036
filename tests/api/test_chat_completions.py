from __future__ import annotations

import json

import pytest

from ominix.api.chat_completions import MOST_COUNTED, Completion, chat_job
from ominix.http import schemas
from ominix.library.generation import NO_SETTINGS, GenerationSettings
from ominix.wire.events import ChatDone, Delta, Finished, Started, TokenLogprob, ToolArguments, ToolCall
from ominix.wire.jobs import ChatJob

TOP = TokenLogprob("b", -1.5, (98,))
EVENTS = [
    Started(),
    Delta("hm", reasoning=True),
    Delta("one", index=1),
    Delta("a", logprobs=(TokenLogprob("a", -0.5, (97,), (TOP,)),)),
    Delta("ñ"),
    Finished("stop", index=1),
    Finished("length"),
    ChatDone(10, 5, cached_tokens=4, reasoning_tokens=1),
]


def completion(include_usage: bool = True) -> Completion:
    return Completion("m", 2, logprobs=True, include_usage=include_usage)


def test_collected_events_are_one_answer_with_reasoning_apart():
    body = completion().collected(EVENTS)
    assert schemas.mismatch("chat_completion", body) is None
    first, second = body["choices"]
    assert first["message"]["content"] == "añ"
    assert first["message"]["reasoning_content"] == first["message"]["reasoning"] == "hm"
    assert (first["finish_reason"], second["finish_reason"]) == ("length", "stop")
    assert first["logprobs"]["content"][0]["top_logprobs"][0]["token"] == "b"
    assert "reasoning_content" not in second["message"]
    usage = body["usage"]
    assert (usage["total_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (15, 4)


def test_streamed_chunks_say_the_same_as_the_collected_answer():
    maker = completion()
    chunks = [chunk for event in EVENTS for chunk in maker.chunks(event)]
    assert all(schemas.mismatch("chat_completion_chunk", chunk) is None for chunk in chunks)
    assert len({json.dumps([c["id"], c["created"], c["model"]]) for c in chunks}) == 1
    texts = ["", ""]
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["añ", "one"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == maker.collected(EVENTS)["usage"]


def test_without_include_usage_no_chunk_has_usage():
    maker = completion(include_usage=False)
    assert all("usage" not in chunk for event in EVENTS for chunk in maker.chunks(event))


CALLS = [
    Started(),
    Delta("hm", reasoning=True),
    ToolCall("call_1", "f"),
    ToolArguments('{"x": '),
    ToolCall("call_2", "g", index=1),
    ToolArguments("{}", index=1),
    ToolArguments("1}"),
    ToolCall("call_3", "g"),
    ToolArguments("{}"),
    Finished("tool_calls"),
    Finished("length", index=1),
    ChatDone(1, 2),
]


@pytest.mark.contract("chat.tools.answer")
def test_calls_are_collected_by_choice_and_leave_content_null():
    body = completion().collected(CALLS)
    assert schemas.mismatch("chat_completion", body) is None
    first, second = body["choices"]
    assert first["message"]["content"] is None
    assert first["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "call_3", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert second["message"]["tool_calls"][0]["id"] == "call_2"
    assert (first["finish_reason"], second["finish_reason"]) == ("tool_calls", "length")


@pytest.mark.contract("chat.tools.stream")
def test_a_streamed_call_has_id_type_and_name_first_then_its_arguments():
    maker = completion(include_usage=False)
    chunks = [chunk for event in CALLS for chunk in maker.chunks(event)]
    assert all(schemas.mismatch("chat_completion_chunk", chunk) is None for chunk in chunks)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    deltas = [(c["index"], c["delta"]["tool_calls"][0]) for c in choices if "tool_calls" in c["delta"]]

    def begins(call: int, name: str, id: str) -> dict:
        return {
            "index": call,
            "id": id,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }

    assert deltas == [
        (0, begins(0, "f", "call_1")),
        (0, {"index": 0, "function": {"arguments": '{"x": '}}),
        (1, begins(0, "g", "call_2")),
        (1, {"index": 0, "function": {"arguments": "{}"}}),
        (0, {"index": 0, "function": {"arguments": "1}"}}),
        (0, begins(1, "g", "call_3")),
        (0, {"index": 1, "function": {"arguments": "{}"}}),
    ]


@pytest.mark.contract("chat.tools.functions")
def test_the_older_form_of_a_call():
    maker = Completion("m", 1, logprobs=False, include_usage=False, legacy_calls=True)
    events = [Started(), ToolCall("call_1", "f"), ToolArguments("{}"), Finished("tool_calls"), ChatDone(1, 2)]
    [choice] = maker.collected(events)["choices"]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    chunks = [chunk["choices"][0] for event in events for chunk in maker.chunks(event)]
    assert [chunk["delta"].get("function_call") for chunk in chunks] == [
        None,
        {"name": "f", "arguments": ""},
        {"arguments": "{}"},
        None,
    ]
    assert choice["finish_reason"] == chunks[-1]["finish_reason"] == "function_call"


def job(settings: GenerationSettings = NO_SETTINGS, **fields) -> ChatJob:
    hello = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    return chat_job(schemas.checked("chat_completion_request", {**hello, **fields}), settings)


@pytest.mark.contract("chat.max-tokens")
@pytest.mark.parametrize("absent", [None, 0, -1])
def test_no_limit_is_the_model_s_own_or_the_engine_s(absent):
    for fields in ({"max_tokens": absent}, {"max_completion_tokens": absent}, {}):
        assert job(**fields).max_tokens is None
        assert job(GenerationSettings(max_tokens=100), **fields).max_tokens == 100
    assert job(max_completion_tokens=absent, max_tokens=7).max_tokens == 7


def test_a_limit_of_any_size_fits_a_message():
    assert job(max_tokens=10**40).max_tokens == job(top_k=10**40).sampling.top_k == MOST_COUNTED


@pytest.mark.parametrize("off", [0, -1])
def test_top_k_has_two_ways_to_be_off(off):
    assert job(GenerationSettings(top_k=20), top_k=off).sampling.top_k == 0


def test_a_thought_may_have_a_budget_which_templates_may_read():
    assert job().max_thinking_tokens is None
    asked = job(max_thinking_tokens=512, reasoning_effort="low")
    assert asked.max_thinking_tokens == 512
    assert asked.template_options == {"reasoning_effort": "low", "thinking_budget": 512}
    off = job(max_thinking_tokens=0, chat_template_kwargs={"thinking_budget": 7})
    assert off.template_options == {"enable_thinking": False, "thinking_budget": 7}


def test_the_model_s_own_settings_count_where_the_request_says_nothing():
    own = GenerationSettings(top_k=20, min_p=0.1, repetition_penalty=1.05)
    found = job(own).sampling
    assert (found.top_k, found.min_p, found.repetition_penalty) == (20, 0.1, 1.05)
    assert (found.temperature, found.top_p) == (0.7, 1.0)  # the API names these
    asked = job(own, top_k=3, min_p=0, repetition_penalty=1).sampling
    assert (asked.top_k, asked.min_p, asked.repetition_penalty) == (3, 0.0, 1.0)
