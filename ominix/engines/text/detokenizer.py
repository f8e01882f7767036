"""Tokens as text: what bytes a token stands for, and characters out of tokens one at a time.

A character may be spread over several tokens; it is held back until its last byte is there. Special tokens
are marks in the text (marks.py), for whoever reads on. Knows nothing about stop strings or events.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Protocol

from mlx_lm import tokenizer_utils
from mlx_lm.tokenizer_utils import TokenizerWrapper

from ominix.engines.text.marks import Marks

SPACE = "\u2581"  # SentencePiece's mark of a space


class Text(Protocol):
    """The text of one answer as it grows."""

    def add(self, token: int) -> str:
        """The whole characters that are complete with this token, often none; a mark for a special token."""
        ...


class Detokenizer:
    """A tokenizer, read from its tokens to their text."""

    def __init__(self, tokenizer: TokenizerWrapper) -> None:
        self._tokenizer = tokenizer
        self._special = _special(tokenizer)
        self.marks = Marks(self._special)
        self._bytes = _byte_table(tokenizer)
        self._trims = bool(getattr(tokenizer.detokenizer, "trim_space", False))  # SentencePiece's alone

    def text(self) -> Text:
        if self._bytes:
            return _ByteText(self, self._trims)
        return _DecodedText(self, self._tokenizer)

    def text_of(self, tokens: Iterable[int]) -> str:
        """With marks in it."""
        text = self.text()
        return "".join([text.add(token) for token in tokens])

    def is_special(self, token: int) -> bool:
        return token in self._special

    def token_bytes(self, token: int) -> bytes:
        """What the token contributes to a text; nothing for special tokens."""
        if self.is_special(token):
            return b""
        if self._bytes:
            return self._bytes[token] if token < len(self._bytes) else b""
        return str(self._tokenizer.decode([token])).encode()


class _ByteText:
    def __init__(self, detokenizer: Detokenizer, trims: bool) -> None:
        self._detokenizer = detokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._trims = trims  # until the first text: a leading space is the tokenizer's, not the answer's

    def add(self, token: int) -> str:
        if self._detokenizer.is_special(token):  # no character goes on behind it
            return self._decoder.decode(b"", final=True) + self._detokenizer.marks.letter(token)
        text = self._decoder.decode(self._detokenizer.token_bytes(token))
        if self._trims and text:
            self._trims = False
            return text.removeprefix(" ")
        return text


class _DecodedText:
    """For tokenizers whose tokens are no bytes: whatever decoding everything so far adds."""

    def __init__(self, detokenizer: Detokenizer, tokenizer: TokenizerWrapper) -> None:
        self._detokenizer = detokenizer
        self._decoded = tokenizer.detokenizer
        self._written = 0  # characters

    def add(self, token: int) -> str:
        if self._detokenizer.is_special(token):
            return self._detokenizer.marks.letter(token)
        self._decoded.add_token(token)
        # It gets shorter while a run of bytes is no whole character, and comes back with all of the run.
        text = str(self._decoded.text)[self._written :]
        self._written += len(text)
        return text


def _special(tokenizer: TokenizerWrapper) -> dict[int, str]:
    """Special tokens and those that end an answer: id -> name."""
    added = {token: str(it.content) for token, it in tokenizer.added_tokens_decoder.items() if it.special}
    return dict.fromkeys(tokenizer.eos_token_ids, "") | added


def _byte_table(tokenizer: TokenizerWrapper) -> list[bytes]:
    """Bytes by token id; empty for a tokenizer whose tokens do not stand for bytes."""
    kind = type(tokenizer.detokenizer)
    added = {i: token.content.encode() for i, token in tokenizer.added_tokens_decoder.items()}
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    if kind is tokenizer_utils.BPEStreamingDetokenizer:
        letters = _byte_letters()
        spell = [bytes(letters.get(c, 63) for c in token or "") for token in tokens]  # 63: "?"
    elif kind is tokenizer_utils.SPMStreamingDetokenizer:
        spell = [_sentence_piece(token or "") for token in tokens]
    else:
        return []
    return [added.get(i, raw) for i, raw in enumerate(spell)]


def _sentence_piece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(SPACE, " ").encode()


def _byte_letters() -> dict[str, int]:
    """Byte-level BPE writes every byte as a printable letter: GPT-2's encoder.py, bytes_to_unicode."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
