"""Conversations to tokens: rendered by the model's template, then tokenized, both within bounds.

    messages --control tokens hidden--> template child --text--> bounded --pieces--> tokens

- The template runs in a child (ominix.templates): it came with the model's folder and may do anything.
- A text that cannot fit the context is refused before it is tokenized whole: its beginning says so.
- What clients write is text. Where they write a control token, such as <|im_end|>, it is hidden from the
  template behind a mark, and the text is cut inside the token's name before it is tokenized: then no piece
  holds the token. Conversations without one are tokenized as ever, in one piece.

The engine's preparation thread alone calls it. Knows no jobs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlx_lm.tokenizer_utils import TokenizerWrapper

from ominix.errors import JobRefused
from ominix.templates.renderer import Renderer

SAFE_CHARS = 64 << 10  # tokenized without further ado, in some 20 ms
SPARE_CHARS = 1 << 20  # what a template may write around a conversation
BATCH = 256  # pieces that are tokenized in one call
# Around the number of a hidden token: characters that Unicode has set aside for such use. A client that
# writes a mark gets the text of that token, which it could have written as well.
MARK = re.compile("\ufdd0([0-9]{1,6})\ufdd1")
CONTROL_LOOK = re.compile(r"<\|.*\|>|<(start|end)_of_\w+>", re.DOTALL)


class ChatTokenizer:
    """What a `ChatFormat` uses of a tokenizer."""

    def __init__(
        self, name: str, tokenizer: TokenizerWrapper, context: int, tags: Sequence[str] = ()
    ) -> None:
        """`name`: the model's. `tags` are around reasoning: templates look for them, so they stay."""
        self._name = name
        self._tokenizer = tokenizer
        self._context = context
        self._renderer = Renderer()
        self._control = _control_tokens(tokenizer, tags)
        self._numbers = {token: number for number, token in enumerate(self._control)}
        self._is_control = re.compile("|".join(map(re.escape, sorted(self._control, key=len, reverse=True))))
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
        messages, options = self._hidden(messages), self._hidden(options)
        options["tokenize"] = False
        try:
            if self._has_own_renderer:
                return str(self._tokenizer.apply_chat_template(messages, **options))
            return self._rendered(messages, chat_template, options)
        except (JobRefused, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise JobRefused(
                f"the chat template of {self._name} refuses these messages: {self._shown(str(error))}",
                param="messages",
            ) from None

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
        pieces = self._pieces(text)
        tokens: list[int] = []
        for begin in range(0, len(pieces), BATCH):
            self._check_tokens(len(tokens))
            batch = pieces[begin : begin + BATCH]
            self._check_beginnings(batch, len(tokens))
            tokens += self._encode(batch)
        return tokens

    def _check_beginnings(self, pieces: list[str], before: int) -> None:
        """Raises JobRefused for a piece whose beginning has too many tokens: the rest is not needed then."""
        for piece in pieces:
            size = SAFE_CHARS
            while size < len(piece):
                self._check_tokens(before + len(self._encode([piece[:size]])))
                size *= 4

    def _encode(self, pieces: list[str]) -> list[int]:
        try:
            found = self._tokenizer._tokenizer(pieces, add_special_tokens=False)["input_ids"]
            return list(itertools.chain.from_iterable(found))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pyo3's panic is no Exception
            raise JobRefused(
                f"the tokenizer cannot read this text: it fails with {type(error).__name__}", param="messages"
            ) from None

    def _pieces(self, text: str) -> list[str]:
        """The text with its hidden tokens shown again, cut behind the first letter of each."""
        pieces, begin, shown = [], 0, ""
        for mark in MARK.finditer(text):
            token = self._control[int(mark[1])] if int(mark[1]) < len(self._control) else mark[0]
            pieces.append(shown + text[begin : mark.start()] + token[0])
            begin, shown = mark.end(), token[1:]
        return [*pieces, shown + text[begin:]]

    def _hidden(self, value: Any) -> Any:
        """With marks where control tokens stand, in all its texts."""
        if isinstance(value, str) and self._control:
            return self._is_control.sub(lambda found: f"\ufdd0{self._numbers[found[0]]}\ufdd1", value)
        if isinstance(value, Mapping):
            return {key: self._hidden(item) for key, item in value.items()}
        return [self._hidden(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _shown(self, text: str) -> str:
        return "".join(self._pieces(text))

    def _check_size(self, chars: int) -> None:
        if chars > self._max_chars + SPARE_CHARS:
            raise self._too_long()

    def _check_tokens(self, count: int) -> None:
        if count > self._context:
            raise self._too_long()

    def _too_long(self) -> JobRefused:
        return JobRefused(
            f"{self._name} has a context of {self._context} tokens, but more are needed for the messages "
            "alone; shorten them",
            param="messages",
            code="context_length_exceeded",
        )


def _control_tokens(tokenizer: TokenizerWrapper, tags: Sequence[str]) -> list[str]:
    """Special tokens, and those that look like it in a folder that does not say which are special."""
    spoken = {tokenizer.think_start, tokenizer.think_end, *tags}
    added = tokenizer.added_tokens_decoder.values()
    names = [str(token.content) for token in added if token.special or CONTROL_LOOK.fullmatch(token.content)]
    return [name for name in names if name not in spoken and len(name) > 1]


def _chars(value: Any) -> int:
    """Of all texts in a message."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_chars, value.values()))
    return sum(map(_chars, value)) if isinstance(value, (list, tuple)) else 0
