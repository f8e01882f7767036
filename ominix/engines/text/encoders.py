"""Text to tokens for a model's prompts. What `encode` gets spells a control token otherwise than its name.

Two ways, one protocol:

- `Renamed`: the folder's tokenizer with secret names (ominix.templates.encoder). Nearly all folders.
- `InPieces`: tokenizers in Python, such as transformers' own for a tokenizer.model alone. A name that is
  text is cut behind its first letter, and the pieces are tokenized one by one: none of them holds the token.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Collection, Iterable
from typing import Protocol

from mlx_lm.tokenizer_utils import TokenizerWrapper

from ominix.errors import JobRefused
from ominix.templates.encoder import SAFE_CHARS, Encoder, NotUsable, secret_names

BATCH = 256  # pieces that are tokenized in one call

log = logging.getLogger("ominix.chat")


class PromptEncoder(Protocol):
    def as_token(self, name: str) -> str: ...

    def as_text(self, name: str) -> str: ...

    def encode(self, text: str, most: int) -> list[int] | None:
        """None: its beginning alone has more than `most`.

        Raises JobRefused for a text that the tokenizer cannot read.
        """
        ...


class Renamed:
    def __init__(self, source: str, names: Collection[str]) -> None:
        """`source`: a tokenizer.json. Raises NotUsable."""
        self._secret = secret_names(names)
        self._encoder = Encoder(source, self._secret)

    def as_token(self, name: str) -> str:
        return self._secret[name]

    def as_text(self, name: str) -> str:
        return name

    def encode(self, text: str, most: int) -> list[int] | None:
        try:
            return self._encoder.encode(text, most)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # pyo3's panic is no Exception
            raise _unreadable(error) from None


class InPieces:
    def __init__(self, tokenizer: TokenizerWrapper) -> None:
        self._tokenizer = tokenizer
        self._cut = secrets.token_hex(16)

    def as_token(self, name: str) -> str:
        return name

    def as_text(self, name: str) -> str:
        return name[0] + self._cut + name[1:]

    def encode(self, text: str, most: int) -> list[int] | None:
        pieces = text.split(self._cut)
        tokens: list[int] = []
        for begin in range(0, len(pieces), BATCH):
            batch = pieces[begin : begin + BATCH]
            if len(tokens) > most or self._begins_with_more(batch, most - len(tokens)):
                return None
            tokens += self._ids(batch)
        return tokens

    def _begins_with_more(self, pieces: Iterable[str], most: int) -> bool:
        """Than `most`, in one piece's beginning: the rest is not needed then."""
        for piece in pieces:
            size = SAFE_CHARS
            while size < len(piece):
                if len(self._ids([piece[:size]])) > most:
                    return True
                size *= 4
        return False

    def _ids(self, pieces: list[str]) -> list[int]:
        try:
            found = self._tokenizer._tokenizer(pieces, add_special_tokens=False)["input_ids"]
            return list(itertools.chain.from_iterable(found))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise _unreadable(error) from None


def _unreadable(error: BaseException) -> JobRefused:
    reason = f"the tokenizer cannot read this text: it fails with {type(error).__name__}"
    return JobRefused(reason, param="messages")


def made(name: str, tokenizer: TokenizerWrapper, control: Collection[str]) -> PromptEncoder:
    """`name`: the model's. `control`: names of tokens that have to be told from text."""
    source = _source(tokenizer)
    try:
        if source is not None:
            return Renamed(source, control)
    except NotUsable as error:
        log.warning("%s: its tokenizer is used as it is: %s", name, error)
    return InPieces(tokenizer)


def _source(tokenizer: TokenizerWrapper) -> str | None:
    """Its tokenizer.json, as transformers has read it. None: it is written in Python."""
    backend = getattr(tokenizer._tokenizer, "backend_tokenizer", None)  # transformers' own question
    return backend.to_str() if backend is not None else None
