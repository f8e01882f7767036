"""Conversations to tokens: rendered by the model's template, then tokenized, both within bounds.

    messages --control tokens hidden--> template child --text, names shown--> encoder --> tokens

- The template runs in a child (ominix.templates): it came with the model's folder and may do anything.
- A text that cannot fit the context is refused before it is tokenized whole: its beginning says so.
- What clients write is text, names of control tokens too (control_tokens), unless the operator wants it raw.

The engine's preparation thread alone calls it. Knows no jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlx_lm.tokenizer_utils import TokenizerWrapper

from ominix.engines.text import control_tokens, encoders
from ominix.engines.text.control_tokens import AddedToken, Hiding
from ominix.errors import JobRefused
from ominix.templates.renderer import Renderer

SPARE_CHARS = 1 << 20  # what a template may write around a conversation


class ChatTokenizer:
    """What a `ChatFormat` uses of a tokenizer."""

    def __init__(
        self,
        name: str,
        tokenizer: TokenizerWrapper,
        context: int,
        tags: Sequence[str] = (),
        *,
        raw: bool = False,
    ) -> None:
        """`name`: the model's. `tags` are around reasoning. `raw`: clients may write control tokens."""
        self._name = name
        self._tokenizer = tokenizer
        self._context = context
        self._renderer = Renderer()
        added = () if raw else _added_tokens(tokenizer)
        self._control = control_tokens.found(added, _templates(tokenizer), tags)
        self._encoder = encoders.made(name, tokenizer, self._control.names)
        self._max_chars = context * max(map(len, tokenizer.get_vocab()), default=1)

    @property
    def chat_template(self) -> str | None:
        template: str | None = self._tokenizer.chat_template
        return template

    def start(self) -> None:
        self._renderer.start()

    def apply_chat_template(
        self, messages: list[dict[str, Any]], *, chat_template: str | None = None, **options: Any
    ) -> str:
        """The text for `encode`. Raises JobRefused for a template that refuses, or takes too much."""
        self._check_size(sum(map(_chars, messages)))
        options["tokenize"] = False
        hiding = None
        try:
            hiding = Hiding(self._control, [messages, options])
            text = self._text(hiding.messages(messages), chat_template, hiding.value(options))
        except (JobRefused, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            reason = hiding.shown(str(error), str, str) if hiding else str(error)
            raise JobRefused(
                f"the chat template of {self._name} refuses these messages: {reason}", param="messages"
            ) from None
        return hiding.shown(text, self._encoder.as_text, self._encoder.as_token)

    def _text(
        self, messages: list[dict[str, Any]], chat_template: str | None, options: dict[str, Any]
    ) -> str:
        if self._has_own_renderer:
            return str(self._tokenizer.apply_chat_template(messages, **options))
        return self._rendered(messages, chat_template, options)

    def _rendered(
        self, messages: list[dict[str, Any]], chat_template: str | None, options: dict[str, Any]
    ) -> str:
        template = self._tokenizer.get_chat_template(chat_template, options.get("tools"))
        variables = {
            **self._tokenizer.special_tokens_map,
            "enable_thinking": self._tokenizer.has_thinking,  # as mlx-lm's wrapper has it
            "tools": None,
            "documents": None,
            **options,
            "messages": messages,
        }
        return self._renderer.render(template, variables, self._max_chars + SPARE_CHARS)

    @property
    def _has_own_renderer(self) -> bool:
        """Python code of mlx-lm or transformers, not the folder's, stands for the template."""
        kinds = type(self._tokenizer._tokenizer).__mro__
        renders = next(kind.__name__ for kind in kinds if "apply_chat_template" in vars(kind))
        return renders != "PreTrainedTokenizerBase" or self._tokenizer._chat_template is not None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Raises JobRefused for a text that cannot fit the context."""
        self._check_size(len(text))
        tokens = self._encoder.encode(text, self._context)
        if tokens is None:
            raise self._too_long()
        return tokens

    def _check_size(self, chars: int) -> None:
        if chars > self._max_chars + SPARE_CHARS:
            raise self._too_long()

    def _too_long(self) -> JobRefused:
        return JobRefused(
            f"{self._name} has a context of {self._context} tokens, but more are needed for the messages "
            "alone; shorten them",
            param="messages",
            code="context_length_exceeded",
        )


def _added_tokens(tokenizer: TokenizerWrapper) -> list[AddedToken]:
    return [AddedToken(str(t.content), bool(t.special)) for t in tokenizer.added_tokens_decoder.values()]


def _templates(tokenizer: TokenizerWrapper) -> str:
    """The source of all of them: a folder may have several, by name."""
    found = tokenizer.chat_template
    return "\n".join(map(str, found.values())) if isinstance(found, Mapping) else str(found or "")


def _chars(value: Any) -> int:
    """Of all texts in a message."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_chars, value.values()))
    return sum(map(_chars, value)) if isinstance(value, (list, tuple)) else 0
