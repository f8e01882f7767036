"""A chat job's events as OpenAI's objects: chunks of a stream, or all of them collected into one answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ominix.wire.events import ChatDone, Delta, Event, Finished, Started, TokenLogprob

FINGERPRINT = "fp_ominix"


@dataclass
class _Choice:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None


class Completion:
    """One request's answer in the making. `model` is echoed as the client wrote it."""

    def __init__(self, model: str, n: int, *, logprobs: bool, include_usage: bool) -> None:
        self._n = n
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
        choices = [_Choice() for _ in range(self._n)]
        usage: dict[str, Any] = {}
        for event in events:
            if isinstance(event, Delta):
                choice = choices[event.index]
                (choice.reasoning if event.reasoning else choice.content).append(event.text)
                choice.logprobs += map(_logprob, event.logprobs)
            elif isinstance(event, Finished):
                choices[event.index].finish_reason = event.reason
            elif isinstance(event, ChatDone):
                usage = _usage(event)
        listed = [self._choice(index, choice) for index, choice in enumerate(choices)]
        return {**self._head, "object": "chat.completion", "choices": listed, "usage": usage}

    def _choice(self, index: int, choice: _Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(choice.content), "refusal": None}
        reasoning = "".join(choice.reasoning)
        if reasoning:
            message |= {"reasoning_content": reasoning, "reasoning": reasoning}
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs_of(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }

    def _logprobs_of(self, entries: list[dict[str, Any]]) -> dict[str, Any] | None:
        return {"content": entries, "refusal": None} if self._logprobs else None

    def chunks(self, event: Event) -> list[dict[str, Any]]:
        """The `chat_completion_chunk` objects that an event becomes."""
        if isinstance(event, Started):
            opening = {"role": "assistant", "content": "", "refusal": None}
            return [self._chunk(index, opening) for index in range(self._n)]
        if isinstance(event, Delta):
            delta = {"content": event.text}
            if event.reasoning:
                delta = {"reasoning_content": event.text, "reasoning": event.text}
            return [self._chunk(event.index, delta, logprobs=list(map(_logprob, event.logprobs)))]
        if isinstance(event, Finished):
            return [self._chunk(event.index, {}, finish_reason=event.reason)]
        if isinstance(event, ChatDone) and self._include_usage:
            return [self._with_choices([], _usage(event))]
        return []

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: list[dict[str, Any]] | None = None,
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
