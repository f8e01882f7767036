"""Bodies held to OpenAI's own types: openai-python's models, which are made from its published schema.

Strictly: a missing field, a number as text or a word that is not one of theirs fails, though the client
itself would let it pass.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from openai.types import ErrorObject, Model, ModelDeleted
from openai.types.audio import Transcription, TranscriptionStreamEvent, TranscriptionVerbose
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, Field, TypeAdapter

from ominix.http import schemas

TYPES: dict[str, Any] = {
    "completion": ChatCompletion,
    "chunk": ChatCompletionChunk,
    "model": Model,
    "deleted": ModelDeleted,
    "error": ErrorObject,
    "transcription": Transcription,
    "verbose": TranscriptionVerbose,
    "event": Annotated[TranscriptionStreamEvent, Field(discriminator="type")],
}

VERBOSE = (("response_format", "verbose_json"),)
WORDS = ("timestamp_granularities[]", "word")
LOGPROBS = """
choices[].logprobs choices[].logprobs.content choices[].logprobs.refusal
choices[].logprobs.content[].token choices[].logprobs.content[].logprob choices[].logprobs.content[].bytes
choices[].logprobs.content[].top_logprobs choices[].logprobs.content[].top_logprobs[].token
choices[].logprobs.content[].top_logprobs[].logprob choices[].logprobs.content[].top_logprobs[].bytes
"""
USAGE = """
usage usage.prompt_tokens usage.completion_tokens usage.total_tokens
usage.prompt_tokens_details usage.prompt_tokens_details.cached_tokens
usage.completion_tokens_details usage.completion_tokens_details.reasoning_tokens
"""
SEGMENT = """
segments[].id segments[].seek segments[].start segments[].end segments[].text segments[].tokens
segments[].temperature segments[].avg_logprob segments[].compression_ratio segments[].no_speech_prob
"""
CALL = """
choices[].{0}.tool_calls choices[].{0}.tool_calls[].id choices[].{0}.tool_calls[].type
choices[].{0}.tool_calls[].function choices[].{0}.tool_calls[].function.name
choices[].{0}.tool_calls[].function.arguments
"""
# Every field that openai-python reads and that is there.
PRESENT = {
    "completion": f"""
        id object created model system_fingerprint choices choices[].index choices[].finish_reason
        choices[].message choices[].message.role choices[].message.content choices[].message.refusal
        choices[].message.annotations choices[].message.audio {CALL.format("message")}
        choices[].message.function_call choices[].message.function_call.name
        choices[].message.function_call.arguments
        {LOGPROBS} {USAGE}""",
    "chunk": f"""
        id object created model system_fingerprint choices choices[].index choices[].finish_reason
        choices[].delta choices[].delta.role choices[].delta.content choices[].delta.refusal
        {CALL.format("delta")} choices[].delta.tool_calls[].index
        choices[].delta.function_call choices[].delta.function_call.name
        choices[].delta.function_call.arguments
        {LOGPROBS} {USAGE}""",
    "model": "id object created owned_by",
    "deleted": "id object deleted",
    "error": "message type param code",
    "transcription": """
        text usage usage.type usage.seconds logprobs logprobs[].token logprobs[].logprob logprobs[].bytes""",
    "verbose": f"""
        duration language text usage usage.type usage.seconds segments {SEGMENT}
        words words[].word words[].start words[].end""",
    "event": """
        type delta text id start end speaker logprobs logprobs[].token logprobs[].logprob logprobs[].bytes
        usage usage.type usage.input_tokens usage.output_tokens usage.total_tokens usage.input_token_details
        usage.input_token_details.text_tokens usage.input_token_details.audio_tokens""",
}
ABOUT_USAGE = {
    "usage.prompt_tokens_details.audio_tokens": "no audio in chat",
    "usage.prompt_tokens_details.image_tokens": "no images in chat",
    "usage.prompt_tokens_details.text_tokens": "all are",
    "usage.prompt_tokens_details.cache_write_tokens": "nothing is billed",
    "usage.completion_tokens_details.audio_tokens": "no audio in chat",
    "usage.completion_tokens_details.text_tokens": "all are",
    "usage.completion_tokens_details.accepted_prediction_tokens": "no predicted outputs",
    "usage.completion_tokens_details.rejected_prediction_tokens": "no predicted outputs",
}
# Those that are not there, all of them optional, and why; with what lies below them.
ABSENT = {
    "completion": {
        "metadata": "completions are not stored",
        "moderation": "no moderation",
        "service_tier": "there is one",
        "choices[].logprobs.refusal[]": "models here do not refuse apart from their text",
        "choices[].message.annotations[]": "no web search",
        "choices[].message.audio.id": "no audio in chat",
        "choices[].message.audio.data": "no audio in chat",
        "choices[].message.audio.expires_at": "no audio in chat",
        "choices[].message.audio.transcript": "no audio in chat",
        "choices[].message.tool_calls[].custom": "tools are functions",
        **ABOUT_USAGE,
    },
    "chunk": {
        "moderation": "no moderation",
        "obfuscation": "the connection does not leave the machine",
        "service_tier": "there is one",
        "choices[].logprobs.refusal[]": "models here do not refuse apart from their text",
        "choices[].delta.audio": "no audio in chat",
        **ABOUT_USAGE,
    },
    "model": {"shutdown_date": "yours to decide"},
    "deleted": {},
    "error": {"misalignment": "no such reviews"},
    "transcription": {
        "languages": "the language is verbose_json's",
        "usage.input_tokens": "usage counts seconds",
        "usage.output_tokens": "usage counts seconds",
        "usage.total_tokens": "usage counts seconds",
        "usage.input_token_details": "usage counts seconds",
    },
    "verbose": {},
    "event": {"segment_id": "no speakers are told apart", "languages": "the done event has `language`"},
}


def messages(answer) -> list[dict]:
    """The objects of a stream."""
    found = [m.removeprefix("data: ") for m in answer[2].decode().split("\n\n") if m.startswith("data: ")]
    return [json.loads(text) for text in found if text != "[DONE]"]


@pytest.fixture(scope="module")
def bodies(shared_server) -> dict[str, list]:
    """Answers of every kind that the server gives."""
    server, logprobs = shared_server, {"logprobs": True, "top_logprobs": 2}
    function = {"name": "f", "parameters": {"type": "object"}}
    plain = [
        ("hello", {}), ("think", {"n": 2}), ("hello", {**logprobs, "max_tokens": 2}),
        ("call f {}", {"tools": [{"type": "function", "function": function}]}),
        ("call f {}", {"functions": [function]}),
    ]  # fmt: skip
    streams = [*plain, ("hello", {"stream_options": {"include_usage": True}, "max_tokens": 1})]
    refusals = [
        server.chat("hello", temperature=9), server.chat("hello", model="none"), server.chat("raise"),
        server.request("GET", "/nothing"), server.request("PUT", "/v1/models"),
        server.request("DELETE", "/v1/models/tiny-asr"),
    ]  # fmt: skip
    listed = server.request("GET", "/v1/models")[2]["data"]
    return {
        "completion": [server.chat(prompt, **fields)[2] for prompt, fields in plain],
        "chunk": [c for p, fields in streams for c in messages(server.chat(p, stream=True, **fields))],
        "model": [*listed, server.request("GET", "/v1/models/scripted")[2]],
        "deleted": [removed(server)],
        "error": [answer[2]["error"] for answer in refusals],
        "transcription": [transcribed(server)[2], transcribed(server, ("include[]", "logprobs"))[2]],
        "verbose": [transcribed(server, *VERBOSE)[2], transcribed(server, *VERBOSE, WORDS)[2]],
        "event": messages(transcribed(server, ("stream", "true"), ("include[]", "logprobs"))),
    }


def removed(server) -> dict:
    folder = server.home / "models" / "short-lived"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return server.request("DELETE", "/v1/models/short-lived")[2]


def transcribed(server, *fields: tuple[str, str]):
    part = "--b\r\nContent-Disposition: form-data; name={}\r\n\r\n{}\r\n"
    given = (("model", "scripted-speech"), ("prompt", "say hello there"), *fields)
    body = "".join(part.format(f'"{name}"', value) for name, value in given)
    body += part.format('"file"; filename="a"', "RIFF") + "--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return server.request("POST", "/v1/audio/transcriptions", body, headers)


@pytest.mark.contract("chat.answer.published")
@pytest.mark.parametrize("kind", TYPES)
def test_every_body_is_what_openai_publishes(bodies, kind):
    for body in bodies[kind]:
        TypeAdapter(TYPES[kind]).validate_python(body, strict=True)


@pytest.mark.contract("chat.answer.sdk-fields")
@pytest.mark.parametrize("kind", TYPES)
def test_every_field_of_the_list_is_there(bodies, kind):
    there = {path for body in bodies[kind] for path in paths(body)}
    assert set(PRESENT[kind].split()) - there == set()
    assert {path for path in ABSENT[kind] if path in there} == set()


@pytest.mark.contract("chat.answer.sdk-fields")
@pytest.mark.parametrize("kind", TYPES)
def test_a_present_field_is_there_each_time_that_openai_needs_it(bodies, kind):
    """The check above can fail: each field that the type requires is missed when it is taken out."""
    needed = [path for path, is_required in fields(TYPES[kind]) if is_required and "." not in path]
    adapter = TypeAdapter(TYPES[kind])
    for name in needed:
        for body in (b for b in bodies[kind] if name in b):
            with pytest.raises(ValueError, match=re.escape(name)):
                adapter.validate_python({k: v for k, v in body.items() if k != name}, strict=True)


@pytest.mark.clients  # a new version of the client may read more; that is no reason for a red gate
@pytest.mark.contract("chat.answer.sdk-fields")
@pytest.mark.parametrize("kind", TYPES)
def test_every_field_that_the_client_reads_is_in_the_list(kind):
    known = PRESENT[kind].split()
    below = tuple(f"{path}{mark}" for path in ABSENT[kind] for mark in (".", "["))
    read = {path for path, _ in fields(TYPES[kind])}
    assert {p for p in read if p not in known and p not in ABSENT[kind] and not p.startswith(below)} == set()
    assert {path for path in known if path not in read} == set()


@pytest.mark.contract("chat.answer.published")
def test_our_own_schemas_ask_for_all_that_openai_s_types_require():
    ours = {
        "completion": "chat_completion",
        "chunk": "chat_completion_chunk",
        "model": "model",
        "deleted": "model_deleted",
        "transcription": "transcription",
        "verbose": "transcription_verbose",
    }
    for kind, name in ours.items():
        required = {
            path for path, is_required in fields(TYPES[kind]) if is_required and not set(path) & set(".[")
        }
        assert required <= set(schemas._documents()[f"{name}.json"]["required"]), name


def paths(value: object, prefix: str = "") -> Iterator[str]:
    """`choices[].message.role` and the like, of what a body holds."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{prefix}[]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{prefix}.{name}".lstrip(".")
            yield path
            yield from paths(inner, path)


def fields(kind: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """The same of a type, and whether its model requires the field."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        yield from fields(inner[0], prefix)
    elif origin is list:
        yield from fields(inner[0], f"{prefix}[]")
    elif origin in (typing.Union, types.UnionType):
        for branch in inner:
            yield from fields(branch, prefix)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            path = f"{prefix}.{name}".lstrip(".")
            yield path, field.is_required()
            yield from fields(field.annotation, path)
