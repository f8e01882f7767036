"""Jobs: what the server asks of a worker. Frozen values; knows nothing about HTTP, processes or mlx.

A job's descriptors are numbers of the process that has it: they are sent beside the job, and the receiver
puts its own numbers in their place.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from msgspec import Struct, structs

from ominix.wire.transport import Descriptors

DEFAULT_MAX_TOKENS = 2048


class Caller(Struct, frozen=True, array_like=True):
    """Who asked, in two opaque names. Neither can be turned back into a key or an address."""

    tenant: str = ""  # of its API key: caches of earlier prompts serve their own tenant alone; "": no key
    client: str = ""  # who takes turns with others: the tenant, or without keys the address it calls from


NOBODY = Caller()


class Sampling(Struct, frozen=True, array_like=True):
    """How the next token is drawn. Names and meanings are the OpenAI API's, the last three mlx-lm's."""

    temperature: float = 0.7  # 0 is greedy
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    seed: int | None = None
    top_k: int = 0  # 0: off
    min_p: float = 0.0
    repetition_penalty: float = 1.0


class Grammar(Struct, frozen=True, array_like=True):
    """What an answer has to be."""

    kind: Literal["json_schema", "regex", "lark"]
    text: str


class Message(Struct, frozen=True, array_like=True):
    """One message of a conversation, as the client sent it."""

    role: str
    content: str | tuple[str, ...] = ""  # a text, or the texts of its parts
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None
    tool_call_id: str | None = None


class ChatJob(Struct, frozen=True, array_like=True, tag=True):
    """A conversation to continue. Events: Started, then Delta, ToolCall, ToolArguments and Finished per
    choice, then ChatDone."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    max_tokens: int | None = None  # None: not asked for; DEFAULT_MAX_TOKENS or what the context holds
    stop: tuple[str, ...] = ()
    n: int = 1
    top_logprobs: int | None = None  # None: no logprobs; 0: those of the chosen tokens alone
    tools: tuple[dict[str, Any], ...] = ()  # that it may call: {"type": "function", "function": {...}}
    tool_choice: Literal["auto", "required"] = "auto"  # required: at least one call
    parallel_tool_calls: bool = True  # False: the answer ends with its first call
    template_options: dict[str, Any] = {}  # e.g. enable_thinking
    caller: Caller = NOBODY
    max_thinking_tokens: int | None = None  # of reasoning, which is closed then; None: as the model likes
    grammar: Grammar | None = None  # of the answer, behind any thought; None: it is free


class Cutting(Struct, frozen=True, array_like=True):
    """How a recording is cut at its pauses."""

    threshold: float = 0.5  # the chance from which on a sound counts as speech
    padding_seconds: float = 0.3  # of what is heard before the speech
    silence_seconds: float = 0.6  # a pause that ends a segment; 2 s always do
    shortest_seconds: float = 2.0  # a segment below this goes on after a pause of up to 2 s


class SearchOptions(Struct, frozen=True, array_like=True):
    """How a speech model looks for an answer, if it can do it in several ways. Names are openai-whisper's."""

    beam_size: int = 1  # at temperature 0: answers that are followed side by side
    best_of: int = 1  # at higher ones: answers that are drawn to choose from


SubtitleForm = Literal["srt", "vtt"]


class Helper(Struct, frozen=True, array_like=True):
    """A second model that a job needs beside the worker's own."""

    package: str  # under ominix.models
    path: str  # the model's folder


class TranscriptionJob(Struct, frozen=True, array_like=True, tag=True):
    """An audio file to write down. Events: Started, Progress, Segment, Delta, then TranscriptionDone."""

    audio: int  # an open file, by its descriptor in the process that holds the job
    language: str | None = None  # an English name of the language table; None: the model's guess
    context: str = ""  # names and words that are likely to occur
    temperature: float = 0.0
    logprobs: bool = False  # deltas carry each token's
    cutting: Cutting = Cutting()
    helpers: dict[str, Helper] = {}  # what is wanted beside the text ("words") -> the model that does it
    subtitles: SubtitleForm | None = None  # TranscriptionDone has them, and no Segment is sent
    channel: str | None = None  # left, right, a number from 0 on, or "separate"; None: the mix of all
    translate: bool = False  # into English; only for models that can
    multilingual: bool = False  # the language is found anew for each clip, not for the recording
    sequential: bool = False  # window by window, each where the last was finished; only for models that can
    search: SearchOptions = SearchOptions()
    previous_text: bool = False  # in a sequence: each window is answered in view of the text before
    caller: Caller = NOBODY


Job = ChatJob | TranscriptionJob


def descriptors_of(job: Job) -> tuple[int, ...]:
    """The open files that the job names."""
    return (job.audio,) if isinstance(job, TranscriptionJob) else ()


def close_descriptors_of(job: Job) -> None:
    for descriptor in descriptors_of(job):
        os.close(descriptor)


def received(job: Job, descriptors: Descriptors) -> Job:
    """The job with the descriptors that came beside it, its holder's to close. Raises NotAMessage."""
    if isinstance(job, TranscriptionJob):
        return structs.replace(job, audio=descriptors.take())
    return job
