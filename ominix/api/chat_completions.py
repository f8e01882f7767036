"""POST /v1/chat/completions, in both directions.

In: a checked request, as a job. Out: the job's events as OpenAI's objects, chunks of a stream or one answer.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from falcon import Request, Response

from ominix.api import conversation, structured, tools
from ominix.http import answers, bodies, listener, sse
from ominix.http.admission import Admission
from ominix.http.answers import Answers
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.library.generation import NO_SETTINGS, GenerationSettings
from ominix.wire.events import (
    ChatDone,
    Delta,
    Event,
    Finished,
    Started,
    TokenLogprob,
    ToolArguments,
    ToolCall,
)
from ominix.wire.jobs import ChatJob, Sampling
from ominix.workers.pool import Pool

FINGERPRINT = "fp_ominix"
MOST_COUNTED = (1 << 31) - 1  # tokens


class ChatCompletions:
    def __init__(
        self,
        pool: Pool,
        catalog: Catalog,
        answers: Answers,
        admission: Admission,
        *,
        max_bytes: int,
        ignore_unsupported: bool = False,
    ) -> None:
        """`ignore_unsupported`: do without what is not there instead of refusing it."""
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._admission = admission
        self._max_bytes = max_bytes
        self._ignore_unsupported = ignore_unsupported

    def on_post(self, req: Request, resp: Response) -> None:
        with self._admission.one_at_a_time():
            fields = self._read(req, resp)
            model = self._catalog.able(fields["model"], "chat")
            job = chat_job(fields, model.settings)
            completion = Completion(
                fields["model"],
                job.n,
                logprobs=job.top_logprobs is not None,
                include_usage=bool((fields.get("stream_options") or {}).get("include_usage")),
                legacy_calls=bool(fields.get("functions")) and not fields.get("tools"),
            )
            events = listener.submit(req, self._pool, model.loadable, job)
        if fields["stream"]:
            sse.answer(resp, events, lambda event: self._frames(completion, event))
        else:
            self._answers.send(resp, "chat_completion", completion.collected(events))

    def _read(self, req: Request, resp: Response) -> JsonObject:
        if not self._ignore_unsupported:
            return bodies.read_json(req, "chat_completion_request", self._max_bytes)
        fields, ignored = bodies.read_supported(req, "chat_completion_request", self._max_bytes)
        if ignored:
            resp.set_header(answers.IGNORED, ", ".join(ignored))
        return fields

    def _frames(self, completion: Completion, event: Event) -> list[bytes]:
        chunks = completion.chunks(event)
        return [sse.message(self._answers.event("chat_completion_chunk", chunk)) for chunk in chunks]


def chat_job(fields: JsonObject, settings: GenerationSettings = NO_SETTINGS) -> ChatJob:
    """The job that a checked request asks for. `settings` count where it says nothing."""
    stop = fields.get("stop", [])
    stops = (stop,) if isinstance(stop, str) else stop
    limits = (fields.get("max_completion_tokens"), fields.get("max_tokens"), settings.max_tokens)
    limit = next((limit for limit in limits if limit and limit > 0), None)  # 0 and -1: none
    use, thinking = tools.asked(fields), fields.get("max_thinking_tokens")
    return ChatJob(
        messages=conversation.messages(fields["messages"]),
        sampling=_sampling(fields, settings),
        max_tokens=None if limit is None else _bounded(limit),
        stop=tuple(text for text in stops if text),
        n=int(fields["n"]),
        top_logprobs=int(fields.get("top_logprobs", 0)) if fields["logprobs"] else None,
        tools=use.tools,
        tool_choice=use.choice,
        parallel_tool_calls=use.parallel,
        template_options=_template_options(fields),
        max_thinking_tokens=None if thinking is None else _bounded(thinking),
        grammar=structured.asked(fields),
    )


def _template_options(fields: JsonObject) -> JsonObject:
    """Some templates read an effort, others a switch or a budget; what a client sets for its template goes
    first."""
    effort, budget = fields.get("reasoning_effort"), fields.get("max_thinking_tokens")
    known: JsonObject = {"reasoning_effort": effort} if effort else {}
    if effort == "none" or budget == 0:
        known["enable_thinking"] = False
    if budget is not None:
        known["thinking_budget"] = _bounded(budget)
    return known | dict(fields.get("chat_template_kwargs", {}))


def _bounded(count: float) -> int:
    """More than any model has, and few enough for a message: JSON knows no largest number."""
    return int(min(count, MOST_COUNTED))


def _sampling(fields: JsonObject, settings: GenerationSettings) -> Sampling:
    bias = fields.get("logit_bias", {})
    return Sampling(
        temperature=float(fields["temperature"]),
        top_p=float(fields["top_p"]),
        frequency_penalty=float(fields["frequency_penalty"]),
        presence_penalty=float(fields["presence_penalty"]),
        logit_bias={int(token): float(value) for token, value in bias.items()},
        seed=int(fields["seed"]) if "seed" in fields else None,
        top_k=_bounded(max(fields.get("top_k", settings.top_k), 0)),
        min_p=float(fields.get("min_p", settings.min_p)),
        repetition_penalty=float(fields.get("repetition_penalty", settings.repetition_penalty)),
    )


class Completion:
    """One request's answer in the making. `model` is echoed as the client wrote it."""

    def __init__(
        self, model: str, n: int, *, logprobs: bool, include_usage: bool, legacy_calls: bool = False
    ) -> None:
        """`legacy_calls`: a call is shown as `function_call`, as before there were tools."""
        self._n = n
        self._calls = [0] * n  # so many have begun, by choice
        self._legacy_calls = legacy_calls
        self._logprobs = logprobs
        self._include_usage = include_usage
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }

    def collected(self, events: Iterable[Event]) -> dict[str, Any]:
        """The `chat_completion` object."""
        choices, done = conversation.collected(events, self._n)
        listed = [self._choice(index, choice) for index, choice in enumerate(choices)]
        return {**self._head, "object": "chat.completion", "choices": listed, "usage": _usage(done)}

    def _choice(self, index: int, choice: conversation.Choice) -> dict[str, Any]:
        content = "".join(choice.content)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content if content or not choice.calls else None,
            "refusal": None,
            "annotations": [],
            "audio": None,
        }
        reasoning = "".join(choice.reasoning)
        if reasoning:
            message |= {"reasoning_content": reasoning, "reasoning": reasoning}
        if choice.calls:
            message |= self._shown_calls(choice.calls)
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs_of(choice.logprobs),
            "finish_reason": self._finish_reason(choice.finish_reason),
        }

    def _shown_calls(self, calls: Sequence[conversation.Call]) -> dict[str, Any]:
        shown = [
            {"id": c.id, "type": "function", "function": _function(c.name, "".join(c.arguments))}
            for c in calls
        ]
        return {"function_call": shown[0]["function"]} if self._legacy_calls else {"tool_calls": shown}

    def _finish_reason(self, reason: str | None) -> str | None:
        return "function_call" if reason == "tool_calls" and self._legacy_calls else reason

    def _logprobs_of(self, entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        return (
            {"content": [_logprob(entry) for entry in entries], "refusal": None} if self._logprobs else None
        )

    def chunks(self, event: Event) -> list[dict[str, Any]]:
        """The `chat_completion_chunk` objects that an event becomes."""
        if isinstance(event, Started):
            opening = {"role": "assistant", "content": "", "refusal": None}
            return [self._chunk(index, opening) for index in range(self._n)]
        if isinstance(event, Delta | ToolCall | ToolArguments):
            return [self._chunk(event.index, self._delta(event), logprobs=event.logprobs)]
        if isinstance(event, Finished):
            return [self._chunk(event.index, {}, finish_reason=self._finish_reason(event.reason))]
        if isinstance(event, ChatDone) and self._include_usage:
            return [self._with_choices([], _usage(event))]
        return []

    def _delta(self, event: Delta | ToolCall | ToolArguments) -> dict[str, Any]:
        if isinstance(event, Delta):
            text = event.text
            return {"reasoning_content": text, "reasoning": text} if event.reasoning else {"content": text}
        if isinstance(event, ToolArguments):
            piece: dict[str, Any] = {"function": {"arguments": event.text}}
        else:
            self._calls[event.index] += 1
            piece = {"id": event.id, "type": "function", "function": _function(event.name, "")}
        if self._legacy_calls:
            return {"function_call": piece["function"]}
        return {"tool_calls": [{"index": self._calls[event.index] - 1, **piece}]}

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: Sequence[TokenLogprob] = (),
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs_of(logprobs) if logprobs else None,
            "finish_reason": finish_reason,
        }
        return self._with_choices([choice], None)

    def _with_choices(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices}
        return {**chunk, "usage": usage} if self._include_usage else chunk


def _function(name: str, arguments: str) -> dict[str, str]:
    return {"name": name, "arguments": arguments}


def _usage(done: ChatDone) -> dict[str, Any]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": done.prompt_tokens + done.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": done.reasoning_tokens},
    }


def _logprob(entry: TokenLogprob) -> dict[str, Any]:
    top = [{"token": t.token, "logprob": t.logprob, "bytes": list(t.token_bytes)} for t in entry.top]
    return {
        "token": entry.token,
        "logprob": entry.logprob,
        "bytes": list(entry.token_bytes),
        "top_logprobs": top,
    }
