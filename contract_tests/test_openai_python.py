"""openai-python as it is, sync and async, every call of our endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
from collections.abc import Iterator

import openai
import pytest
from pydantic import BaseModel
from serving import eventually

HELLO = [{"role": "user", "content": "hello"}]
AUDIO = ("audio", b"RIFFxxxx")


class Caller:
    """Either client as a blocking one: results of the async one are awaited on a loop of its own."""

    def __init__(self, made: openai.OpenAI | openai.AsyncOpenAI, loop: asyncio.AbstractEventLoop) -> None:
        self.client = made
        self._loop = loop

    def __call__(self, result):
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def all(self, stream) -> list:
        if not hasattr(stream, "__aiter__"):  # a page of models is both a result and a stream
            stream = self(stream)
        return self(_collected(stream)) if hasattr(stream, "__aiter__") else list(stream)


async def _collected(stream) -> list:
    return [item async for item in stream]


@pytest.fixture(params=[openai.OpenAI, openai.AsyncOpenAI], ids=["sync", "async"])
def connect(request) -> Iterator:
    """connect(server, ...): a client of it, without retries unless told otherwise."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        made: list[Caller] = []

        def start(server, **options) -> Caller:
            options = {"api_key": "any", "timeout": 30, "max_retries": 0, **options}
            made.append(Caller(request.param(base_url=f"{server.url}/v1", **options), loop))
            return made[-1]

        yield start
        for caller in made:
            caller(caller.client.close())


@pytest.fixture
def call(connect, shared_server) -> Caller:
    return connect(shared_server)


@pytest.mark.contract("clients.openai-python", "chat.answer.head", "chat.answer.message", "chat.answer.usage")
def test_a_chat_completion(call):
    answer = call(call.client.chat.completions.create(model="scripted", messages=HELLO, max_tokens=3))
    assert (answer.object, answer.model) == ("chat.completion", "scripted")
    assert isinstance(answer.created, int)
    assert answer.system_fingerprint
    assert answer._request_id
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    message = choice.message
    assert (message.role, message.content, message.refusal) == ("assistant", "hello0 hello1 hello2 ", None)
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 3, 4)
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert usage.completion_tokens_details.reasoning_tokens == 0


@pytest.mark.contract("clients.openai-python", "chat.stream.usage", "chat.stream.last", "chat.stream.done")
def test_a_stream(call):
    options = {"stream_options": {"include_usage": True}, "max_tokens": 3}
    chunks = call.all(
        call.client.chat.completions.create(model="scripted", messages=HELLO, stream=True, **options)
    )
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    *spoken, usage = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in spoken) == "hello0 hello1 hello2 "
    assert spoken[0].choices[0].delta.role == "assistant"
    assert spoken[-1].choices[0].delta.model_dump(exclude_unset=True) == {}
    reasons = [chunk.choices[0].finish_reason for chunk in spoken]
    assert reasons == [None] * (len(reasons) - 1) + ["length"]
    assert (usage.choices, usage.usage.total_tokens) == ([], 4)


class Weather(BaseModel):
    city: str
    days: int = 1


@pytest.mark.contract("clients.openai-python", "chat.tools.answer", "chat.tools.stream")
def test_calls_of_tools_through_the_helpers(connect, shared_server):
    call = connect(shared_server)
    said = [
        {"role": "user", "content": 'call Weather {"city": "São Paulo"} & Weather {"city": "x", "days": 3}'}
    ]
    asked = {"model": "scripted", "messages": said, "tools": [openai.pydantic_function_tool(Weather)]}
    parsed = call(call.client.chat.completions.parse(**asked))
    found = parsed.choices[0].message.tool_calls
    assert [each.function.parsed_arguments for each in found] == [
        Weather(city="São Paulo"),
        Weather(city="x", days=3),
    ]
    assert len({each.id for each in found}) == 2
    if isinstance(call.client, openai.AsyncOpenAI):
        return
    with call.client.chat.completions.stream(**asked) as events:
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [event.parsed_arguments for event in done] == [
        Weather(city="São Paulo"),
        Weather(city="x", days=3),
    ]
    assert events.get_final_completion().choices[0].finish_reason == "tool_calls"


@pytest.mark.contract("clients.openai-python")
def test_a_turn_with_calls_and_their_results(connect, shared_server):
    call = connect(shared_server)
    tool = openai.pydantic_function_tool(Weather)
    messages = [{"role": "user", "content": 'call Weather {"city": "x"}'}]
    create = call.client.chat.completions.create
    first = call(create(model="scripted", messages=messages, tools=[tool], tool_choice="required"))
    asked = first.choices[0].message
    result = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "say rain"}
    messages += [asked.model_dump(exclude_none=True), result]
    second = call(create(model="scripted", messages=messages, tools=[tool]))
    assert second.choices[0].message.content == "rain"


@pytest.mark.contract("clients.openai-python")
def test_the_stream_helper_adds_up(connect, shared_server):
    call = connect(shared_server)
    said = [{"role": "user", "content": "say one two"}]
    stream = call.client.chat.completions.stream(model="scripted", messages=said)

    def plain():
        with stream as events:
            list(events)
            return events.get_final_completion()

    async def awaited():
        async with stream as events:
            async for _ in events:
                pass
            return await events.get_final_completion()

    is_async = isinstance(call.client, openai.AsyncOpenAI)
    final = call(awaited()) if is_async else plain()
    assert final.choices[0].message.content == "one two"
    assert final.choices[0].finish_reason == "stop"


@pytest.mark.contract("clients.openai-python", "models.fields", "models.unknown")
def test_models(call):
    listed = call.all(call.client.models.list())
    assert "scripted" in [model.id for model in listed]
    for model in listed:
        assert (model.object, type(model.created)) == ("model", int)
        assert model.owned_by
        assert call(call.client.models.retrieve(model.id)).id == model.id
    for method in (call.client.models.retrieve, call.client.models.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            call(method("gpt-9"))
        assert caught.value.code == "model_not_found"
    with pytest.raises(openai.ConflictError):
        call(call.client.models.delete("tiny-asr"))


@pytest.mark.contract("clients.openai-python", "chat.unsupported")
def test_refusals_become_the_exceptions_they_mean(call):
    create = call.client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as caught:
        call(create(model="scripted", messages=HELLO, temperature=9))
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError, match="Models here"):
        call(create(model="gpt-9", messages=HELLO))
    tool = {"type": "custom", "custom": {"name": "f"}}
    with pytest.raises(openai.BadRequestError) as caught:
        call(create(model="scripted", messages=HELLO, tools=[tool]))
    assert (caught.value.param, caught.value.code) == ("tools[0].type", "unsupported_parameter")


@pytest.mark.contract("clients.openai-python", "transport.keys")
def test_keys(connect, serve):
    server = serve("--scripted", "--api-key", "right")
    assert connect(server, api_key="right").client
    call = connect(server, api_key="right")
    assert call.all(call.client.models.list())
    wrong = connect(server, api_key="wrong")
    with pytest.raises(openai.AuthenticationError):
        wrong(wrong.client.chat.completions.create(model="scripted", messages=HELLO))


@pytest.mark.slow
@pytest.mark.contract("clients.openai-python", "transport.should-retry")
def test_what_killed_its_worker_is_not_sent_again(connect, serve):
    server = serve("--scripted")
    call = connect(server, max_retries=2)
    with pytest.raises(openai.InternalServerError, match="SIGSEGV"):
        segfault = [{"role": "user", "content": "segfault"}]
        call(call.client.chat.completions.create(model="scripted", messages=segfault))
    with pytest.raises(openai.ConflictError):
        call(call.client.models.delete("scripted"))
    server.stop()
    assert server.log.count("method=POST") == 1
    assert server.log.count("method=DELETE") == 1


@pytest.mark.slow
@pytest.mark.contract("clients.openai-python", "transport.retry-after")
def test_a_busy_server_is_tried_again_when_it_said(connect, serve):
    server = serve("--scripted", "--jobs-per-worker", "1")
    server.chat("hello")
    slow = connect(server)
    stream = slow(
        slow.client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "tick 0.05"}], max_tokens=20, stream=True
        )
    )
    patient, hasty = connect(server, max_retries=2), connect(server)
    with pytest.raises(openai.RateLimitError) as caught:
        hasty(hasty.client.chat.completions.create(model="scripted", messages=HELLO))
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 120
    answer = patient(patient.client.chat.completions.create(model="scripted", messages=HELLO, max_tokens=1))
    assert answer.choices[0].message.content == "hello0 "
    slow(stream.close())


@pytest.mark.contract("clients.openai-python", "chat.stream.error")
def test_an_error_inside_a_stream_is_raised(call):
    fail = [{"role": "user", "content": "fail"}]
    with pytest.raises(openai.APIError, match="failed as asked"):
        call.all(call.client.chat.completions.create(model="scripted", messages=fail, stream=True))
    refuse = [{"role": "user", "content": "refuse"}]
    with pytest.raises(openai.BadRequestError):
        call.all(call.client.chat.completions.create(model="scripted", messages=refuse, stream=True))


@pytest.mark.contract("clients.openai-python", "leaving.stops")
def test_leaving_a_stream_frees_its_place(call, shared_server):
    tick = [{"role": "user", "content": "tick 0.02"}]
    stream = call(call.client.chat.completions.create(model="scripted", messages=tick, stream=True))
    call(stream.close())
    assert eventually(lambda: shared_server.jobs() == 0)


def transcribe(call, **fields):
    fields = {"file": AUDIO, "model": "scripted-speech", "prompt": "say hello there", **fields}
    return call.client.audio.transcriptions.create(**fields)


@pytest.mark.contract(
    "clients.openai-python",
    "audio.answer.json",
    "audio.answer.verbose",
    "audio.answer.text",
    "audio.answer.words",
)
def test_transcriptions_in_every_format(call):
    plain = call(transcribe(call))
    assert (plain.text, plain.usage.type, plain.usage.seconds) == ("hello there", "duration", 1.0)
    assert call(transcribe(call, response_format="text")) == "hello there\n"
    verbose = call(transcribe(call, response_format="verbose_json", timestamp_granularities=["segment"]))
    assert (verbose.duration, verbose.language, verbose.text) == (1.0, "English", "hello there")
    assert verbose.words is None
    words = call(transcribe(call, response_format="verbose_json", timestamp_granularities=["word"])).words
    assert [(word.word, word.start, word.end) for word in words] == [("hello", 0.0, 0.5), ("there", 0.5, 1.0)]
    (segment,) = verbose.segments
    assert (segment.id, segment.start, segment.end, segment.text) == (0, 0.0, 1.0, "hello there")
    assert (segment.seek, segment.tokens, segment.temperature) == (0, [], 0.0)
    srt = call(transcribe(call, response_format="srt"))
    assert srt == "1\n00:00:00,000 --> 00:00:01,000\nhello there\n"
    assert call(transcribe(call, response_format="vtt")).startswith("WEBVTT\n\n00:00:00.000 --> ")


@pytest.mark.contract("clients.openai-python", "audio.answer.stream")
def test_a_transcription_s_stream(call):
    events = call.all(transcribe(call, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == events[-1].text == "hello there"
    assert events[-1].type == "transcript.text.done"
    assert events[-1].usage.type == "tokens"


@pytest.mark.contract(
    "clients.openai-python", "audio.fields", "audio.arrays", "audio.not-audio", "audio.language"
)
def test_transcription_requests(call):
    file = io.BytesIO(b"RIFFxxxx")  # without a name
    heard = call(transcribe(call, file=file, temperature=0.5, language="en", include=["logprobs"]))
    assert [entry.token for entry in heard.logprobs] == ["hello ", "there"]
    with pytest.raises(openai.BadRequestError) as caught:
        call(transcribe(call, language="klingon"))
    assert (caught.value.param, caught.value.code) == ("language", "invalid_language")
    with pytest.raises(openai.BadRequestError) as caught:
        call(transcribe(call, file=("a.wav", b"")))
    assert (caught.value.param, caught.value.code) == ("file", "invalid_audio_format")
