"""Tokens as text: what bytes a token stands for, and characters out of tokens one at a time.

A character may be spread over several tokens; it is held back until its last byte is there.
Knows nothing about stop strings or events.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import Protocol

from mlx_lm import tokenizer_utils
from mlx_lm.tokenizer_utils import TokenizerWrapper

SPACE = "\u2581"  # SentencePiece's mark of a space


class Text(Protocol):
    """The text of one answer as it grows."""

    def add(self, token: int) -> str:
        """The whole characters that are complete with this token, often none."""
        ...


class Detokenizer:
    """A tokenizer, read from its tokens to their text."""

    def __init__(self, tokenizer: TokenizerWrapper) -> None:
        self._tokenizer = tokenizer
        self._silent = frozenset(_silent(tokenizer))
        self._bytes = _byte_table(tokenizer)
        self._trims = bool(getattr(tokenizer.detokenizer, "trim_space", False))  # SentencePiece's alone

    def text(self) -> Text:
        if self._bytes:
            return _ByteText(self, self._trims)
        return _DecodedText(self._tokenizer, self._silent)

    def token_bytes(self, token: int) -> bytes:
        """What the token contributes to a text; nothing for special tokens."""
        if token in self._silent:
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
        text = self._decoder.decode(self._detokenizer.token_bytes(token))
        if self._trims and text:
            self._trims = False
            return text.removeprefix(" ")
        return text


class _DecodedText:
    """For tokenizers whose tokens are no bytes: whatever decoding everything so far adds."""

    def __init__(self, tokenizer: TokenizerWrapper, silent: frozenset[int]) -> None:
        self._detokenizer = tokenizer.detokenizer
        self._silent = silent

    def add(self, token: int) -> str:
        if token in self._silent:
            return ""
        self._detokenizer.add_token(token)
        return str(self._detokenizer.last_segment)


def _silent(tokenizer: TokenizerWrapper) -> Iterable[int]:
    """Special tokens, save those around reasoning, which are looked for in the text."""
    spoken = {tokenizer.think_start, tokenizer.think_end}
    for token, added in tokenizer.added_tokens_decoder.items():
        if added.special and added.content not in spoken:
            yield token
    yield from tokenizer.eos_token_ids


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
