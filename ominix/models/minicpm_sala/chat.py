"""From messages to prompt tokens, and where an answer ends.

Knows the chat format; knows no jobs and no model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

BOS = 1  # <s>
STOPS = (2, 73440)  # </s> and <|im_end|>: the checkpoint's generation_config.json
TAGS = ("<think>", "</think>")  # around its reasoning, in letters
THINK_END = "</think>"  # the answer proper comes after the last one

# ChatML, for conversions that lost chat_template.jinja. An empty think block is how ChatML models
# are told not to think; the checkpoint's own template, where there is one, decides for itself.
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}"
    "{% endif %}{% endif %}"
)


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer or mlx-lm's wrapper around one."""

    @property
    def chat_template(self) -> str | None: ...

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: Any) -> str: ...

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


def prompt_tokens(
    tokenizer: Tokenizer,
    messages: Iterable[dict[str, Any]],
    *,
    enable_thinking: bool = True,
    **template_options: Any,
) -> list[int]:
    """The whole prompt, up to where the assistant begins to speak, with exactly one BOS in front.

    template_options go to the template, e.g. tools=[...]. enable_thinking is always said aloud: left
    out, mlx-lm's wrapper answers for this model with False, while the model's own default is to think.
    """
    text = tokenizer.apply_chat_template(
        list(messages),
        chat_template=tokenizer.chat_template or TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=enable_thinking,
        **template_options,
    )
    tokens = tokenizer.encode(text, add_special_tokens=False)
    begin = next((i for i, token in enumerate(tokens) if token != BOS), len(tokens))
    return [BOS, *tokens[begin:]]


def stop_tokens(config: dict[str, Any]) -> list[int]:
    """The tokens that end an answer: config.json's own and the release's, sorted.

    config: as mlx_lm.utils.load_config reads it, generation_config.json included. A conversion may
    have kept one of the two only, so both are always there.
    """
    own = config.get("eos_token_id") or ()
    return sorted({*STOPS, *([own] if isinstance(own, int) else own)})
