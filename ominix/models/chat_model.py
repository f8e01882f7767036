"""The seam between the text engine and a chat model of our own: what its package under models brings.

`loader.register()` makes mlx-lm know the architecture, so that mlx-lm's loading, quantization and generation
work unchanged. `chat` is there only if the model is not prompted as its template alone says.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol


class ChatFormat(Protocol):
    """The module `chat` of a package."""

    TAGS: tuple[str, str] | None
    """What opens and closes its reasoning; None: the tokenizer and the template say it."""

    def prompt_tokens(self, tokenizer: Any, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        """A conversation up to where the assistant begins. `tokenizer`: the engine's ChatTokenizer, of which
        the package declares what it uses."""
        ...

    def stop_tokens(self, config: dict[str, Any]) -> list[int]:
        """The tokens that end an answer, beside the tokenizer's. `config`: as mlx-lm reads config.json."""
        ...


def register(package: str) -> None:
    """Call before mlx-lm loads a folder of this package's model. "": mlx-lm knows it already."""
    if package:
        importlib.import_module(f"ominix.models.{package}.loader").register()


def chat_format(package: str) -> ChatFormat | None:
    """None: the model is prompted by its tokenizer's template."""
    name = f"ominix.models.{package}.chat"
    if not package or importlib.util.find_spec(name) is None:
        return None
    found: Any = importlib.import_module(name)  # a module is what the protocol describes
    chat: ChatFormat = found
    return chat
