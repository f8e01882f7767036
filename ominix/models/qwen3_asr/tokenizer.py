"""Qwen's byte-level BPE, from tokenizer.json or from vocab.json and merges.txt. Runs no code of theirs."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

# How Qwen2 and its successors cut text into words before merging.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Vocabulary:
    """Text to token ids, and ids to bytes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_tokens_decoder()
        self._byte_of = _byte_alphabet()

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def id_of(self, token: str) -> int:
        """Raises ValueError for a token the vocabulary lacks."""
        number: int | None = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the tokenizer has no {token!r}: this is not a Qwen3-ASR tokenizer")
        return number

    def ids_of_some(self, tokens: tuple[str, ...]) -> set[int]:
        """Those that exist."""
        found = (self._tokenizer.token_to_id(token) for token in tokens)
        return {number for number in found if number is not None}

    def bytes_of(self, number: int) -> bytes:
        """UTF-8, perhaps a part of a character; nothing for special tokens and for ids without a token."""
        if number in self._added:
            token = self._added[number]
            return b"" if token.special else token.content.encode()
        piece: str | None = self._tokenizer.id_to_token(number)
        return bytes(self._byte_of[c] for c in piece) if piece is not None else b""

    def is_added(self, number: int) -> bool:
        return number in self._added

    def without_markup(self, text: str) -> str:
        """The text without anything that would be read as an added token."""
        for token in self._added.values():
            text = text.replace(token.content, " ")
        return text


def load(folder: Path) -> Vocabulary:
    """Raises ValueError if the folder has neither form, or a broken one."""
    whole = folder / "tokenizer.json"
    if not whole.exists() and not (folder / "vocab.json").exists():
        raise ValueError(f"{folder} has neither tokenizer.json nor vocab.json")
    try:
        return Vocabulary(Tokenizer.from_file(str(whole)) if whole.exists() else _assembled(folder))
    except Exception as error:  # the tokenizers package raises nothing more special
        raise ValueError(f"{folder}: the tokenizer cannot be read: {error}") from error


def _assembled(folder: Path) -> Tokenizer:
    """What transformers' Qwen2Tokenizer builds of these files."""
    bpe = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated", invert=False)
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    for number, token in sorted(_added_tokens(folder).items()):
        tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token.content) != number:
            raise ValueError(f"added token {token.content!r} does not get its number {number}")
    return tokenizer


def _added_tokens(folder: Path) -> dict[int, AddedToken]:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {
        int(number): AddedToken(entry["content"], **{f: bool(entry.get(f)) for f in flags})
        for number, entry in settings.get("added_tokens_decoder", {}).items()
    }


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: printable Latin-1 is itself, the rest follows from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + i): byte for i, byte in enumerate(others)}
