"""Prompts: a job's messages in, prompt tokens out, or the reason why they cannot be.

What chat templates expect of messages is known here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ominix.engines.text import channels
from ominix.engines.text.prefix_cache import common
from ominix.engines.text.text_model import TextModel
from ominix.errors import JobRefused
from ominix.models.call_formats import CallFormat
from ominix.wire.jobs import DEFAULT_MAX_TOKENS, ChatJob, Message

END_TOKENS = 32  # of a prompt, in which a mark is looked for
# What the engine itself tells a template; a client that set these would break the prompt.
_RESERVED = {"add_generation_prompt", "continue_final_message", "tokenize", "chat_template", "messages"}


@dataclass(frozen=True)
class Prompt:
    tokens: tuple[int, ...]
    max_tokens: int  # of the answer
    begins: str | None  # the answer's state, where the template has written a mark already
    call_format: CallFormat | None = None  # None: there are no tools to call


def check(model: TextModel, job: ChatJob) -> None:
    """Raises JobRefused for what is wrong whatever the messages are."""
    if not model.has_template:
        raise JobRefused(
            f"{model.name} has no chat template: it continues text but does not chat",
            param="model",
            code="unsupported_value",
        )
    _check_parameters(model, job)


def prompt(model: TextModel, job: ChatJob) -> Prompt:
    """Raises JobRefused for messages the template refuses or that do not fit."""
    tokens = _rendered(model, job, template_messages(job.messages))
    if not tokens:
        raise JobRefused("the messages make an empty prompt", param="messages")
    return Prompt(
        tuple(tokens),
        _max_tokens(model, job, len(tokens)),
        _begins(model, tokens),
        model.tool_support.format if job.tools else None,
    )


def template_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """As templates want them: one system message at most, which comes first, and each content one text."""
    plain = [_plain(message) for message in messages]
    system = [message["content"] for message in plain if message["role"] == "system"]
    head = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    return [*head, *(message for message in plain if message["role"] != "system")]


def _plain(message: Message) -> dict[str, Any]:
    """Templates ask whether a field is there: those that the client left out stay out."""
    plain: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": "".join(message.content),
    }
    if message.name is not None:
        plain["name"] = message.name
    if message.tool_calls is not None:
        plain["tool_calls"] = list(message.tool_calls)
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def boundaries(model: TextModel, job: ChatJob, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Up to where other prompts will be the same: this conversation's next one, and other
    conversations with the same system message. Places in `tokens`, ascending."""
    messages = template_messages(job.messages)
    system = [message for message in messages if message["role"] == "system"]
    turn = [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    others = [messages + turn] + ([[*system, {"role": "user", "content": ""}]] if system else [])
    mine, places = np.array(tokens, np.int32), set()
    for other in others:
        try:
            theirs = _rendered(model, job, other)
        except JobRefused:  # a conversation this template would not have
            continue
        places.add(min(common(mine, np.array(theirs, np.int32)), len(tokens) - 1))
    return tuple(sorted(places - {0}))


def _check_parameters(model: TextModel, job: ChatJob) -> None:
    reserved = _RESERVED & job.template_options.keys()
    if reserved:
        raise JobRefused(f"{sorted(reserved)[0]} is not for clients to set", param="chat_template_kwargs")
    unknown = [token for token in job.sampling.logit_bias if not 0 <= token < model.vocabulary]
    if unknown:
        raise JobRefused(f"the model has no token {unknown[0]}", param="logit_bias")
    if job.max_tokens is not None and job.max_tokens < 1:
        raise JobRefused(f"max_tokens is {job.max_tokens}; the least is 1", param="max_tokens")


def _rendered(model: TextModel, job: ChatJob, messages: list[dict[str, Any]]) -> list[int]:
    shown, options = model.tool_support.applied(messages, job.tools)
    return model.prompt_tokens(model.chat_tokenizer, shown, **{**job.template_options, **options})


def _max_tokens(model: TextModel, job: ChatJob, size: int) -> int:
    """Clients name a ceiling, not a wish: more than the context has room for is cut."""
    left = model.context - size
    if left < 1:
        raise JobRefused(
            f"{model.name} has a context of {model.context} tokens, but {size} are needed for the "
            "messages alone; shorten them",
            param="messages",
            code="context_length_exceeded",
        )
    return min(DEFAULT_MAX_TOKENS if job.max_tokens is None else job.max_tokens, left)


def _begins(model: TextModel, tokens: list[int]) -> str | None:
    """Templates that write an opening or closing mark themselves do so at the prompt's very end."""
    end = model.detokenizer.text_of(tokens[-END_TOKENS:])
    return channels.beginning(model.format, model.detokenizer.marks, end)
