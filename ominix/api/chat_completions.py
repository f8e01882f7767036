"""POST /v1/chat/completions"""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from ominix.api.completion import Completion
from ominix.http import access, bodies, sse
from ominix.http.admission import Turns
from ominix.http.answers import Answers
from ominix.http.listener import Listener
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.wire.jobs import ChatJob, Sampling
from ominix.workers.pool import Pool


class ChatCompletions:
    def __init__(self, pool: Pool, catalog: Catalog, answers: Answers, turns: Turns, max_bytes: int) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._turns = turns
        self._max_bytes = max_bytes

    def on_post(self, req: Request, resp: Response) -> None:
        with self._turns.one():
            fields = bodies.read_json(req, "chat_completion_request", self._max_bytes)
            job = chat_job(fields)
            model = self._catalog.for_task(fields["model"], "chat")
            access.record(req).submitted(model.id)
            completion = Completion(
                fields["model"],
                job.n,
                logprobs=job.top_logprobs is not None,
                include_usage=bool((fields.get("stream_options") or {}).get("include_usage")),
            )
            listener = Listener(req, self._pool.submit(model.loadable, job))
        if fields["stream"]:
            sse.answer(resp, listener, lambda event: self._messages(completion, event))
        else:
            self._answers.send(resp, "chat_completion", completion.collected(listener))

    def _messages(self, completion: Completion, event: Any) -> list[bytes]:
        chunks = completion.chunks(event)
        return [sse.message(self._answers.event("chat_completion_chunk", chunk)) for chunk in chunks]


def chat_job(fields: JsonObject) -> ChatJob:
    """The job that a checked request asks for."""
    stop = fields.get("stop", [])
    limit = fields.get("max_completion_tokens", fields.get("max_tokens"))
    return ChatJob(
        messages=_messages(fields["messages"]),
        sampling=_sampling(fields),
        max_tokens=None if limit is None else int(limit),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        n=int(fields["n"]),
        top_logprobs=int(fields.get("top_logprobs", 0)) if fields["logprobs"] else None,
        template_options=_template_options(fields),
    )


def _template_options(fields: JsonObject) -> JsonObject:
    """Some templates read an effort, others a switch; what a client sets for its template goes first."""
    effort = fields.get("reasoning_effort")
    known = {"reasoning_effort": effort} if effort else {}
    if effort == "none":
        known["enable_thinking"] = False
    return known | dict(fields.get("chat_template_kwargs", {}))


def _sampling(fields: JsonObject) -> Sampling:
    bias = fields.get("logit_bias", {})
    return Sampling(
        temperature=float(fields["temperature"]),
        top_p=float(fields["top_p"]),
        frequency_penalty=float(fields["frequency_penalty"]),
        presence_penalty=float(fields["presence_penalty"]),
        logit_bias={int(token): float(value) for token, value in bias.items()},
        seed=int(fields["seed"]) if "seed" in fields else None,
        top_k=int(fields["top_k"]),
        min_p=float(fields["min_p"]),
        repetition_penalty=float(fields["repetition_penalty"]),
    )


def _messages(given: list[JsonObject]) -> tuple[JsonObject, ...]:
    """Plain messages for a chat template: system turns merged into one at the front, parts joined."""
    plain = [_message(m) for m in given]
    system = [m["content"] for m in plain if m["role"] == "system"]
    others = [m for m in plain if m["role"] != "system"]
    head = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    return (*head, *others)


def _message(given: JsonObject) -> JsonObject:
    content = given.get("content") or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    role = "system" if given["role"] == "developer" else given["role"]
    kept = {k: given[k] for k in ("name", "tool_calls", "tool_call_id") if given.get(k) is not None}
    return {"role": role, "content": content, **kept}
