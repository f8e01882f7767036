from __future__ import annotations

import json

from ominix.api.chat_completions import Completion
from ominix.http import schemas
from ominix.wire.events import ChatDone, Delta, Finished, Started, TokenLogprob

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
