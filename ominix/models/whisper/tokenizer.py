"""Whisper's tokens. In: text or ids. Out: ids or bytes.

The vocabularies travel with this package, because most published MLX folders have none: OpenAI's two lists
of byte-pair merges (MIT, see merges/LICENSE). Ids of special tokens are computed from the vocabulary's size
and never looked up by their text: published tokenizer files spell some of them differently, or lack the
timestamps.

    0 .. 255                  single bytes, in GPT-2's order
    256 .. 50255              two tokens merged: merges/*.xz holds the pairs, in the order of their ids
    end, start, languages, translate, transcribe, start_of_lm, start_of_prev, no_speech, no_timestamps
    timestamps                <|0.00|> to <|30.00|>, 20 ms apart
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models, pre_tokenizers

# In the order of their ids; "yue" came with large-v3.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr "
    "bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn "
    "yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw "
    "su yue"
)
LANGUAGES = tuple(_CODES.split())

SECONDS_PER_TIMESTAMP = 0.02
TIMESTAMPS = 1501
_LANGUAGES_AT_FIRST = 99
_MERGES = Path(__file__).parent / "merges"

# What Whisper is never to write, since it describes sounds rather than speech. openai-whisper's list.
_SYMBOLS = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))"),
    *("[[", "]]", "{{", "}}", "♪♪", "♪♪♪"),
)
_MUSIC = tuple("♩♪♫♬♭♮♯")  # some are several tokens, of which the first is enough
_DASHES = (" -", " '")


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that a vocabulary of this size gives to tokens that are no text."""

    n_vocab: int

    def __post_init__(self) -> None:
        if self.languages not in (_LANGUAGES_AT_FIRST, len(LANGUAGES)):
            raise ValueError(f"no Whisper model has a vocabulary of {self.n_vocab} tokens")

    @property
    def multilingual(self) -> bool:
        return self.n_vocab >= 51865

    @property
    def languages(self) -> int:
        """How many languages have a token; English-only models have tokens that they never use."""
        return self.n_vocab - 51765 - self.multilingual

    @property
    def end(self) -> int:
        """Also the number of tokens that are text: all ids below."""
        return 50256 + self.multilingual

    @property
    def start(self) -> int:
        return self.end + 1

    @property
    def first_language(self) -> int:
        return self.start + 1

    @property
    def translate(self) -> int:
        return self.first_language + self.languages

    @property
    def transcribe(self) -> int:
        return self.translate + 1

    @property
    def start_of_lm(self) -> int:
        return self.translate + 2

    @property
    def start_of_prev(self) -> int:
        return self.translate + 3

    @property
    def no_speech(self) -> int:
        return self.translate + 4

    @property
    def no_timestamps(self) -> int:
        return self.translate + 5

    @property
    def first_timestamp(self) -> int:
        return self.translate + 6

    def language(self, code: str) -> int:
        """Raises ValueError for a language that the model does not know."""
        number = LANGUAGES.index(code)
        if number >= self.languages:
            raise ValueError(f"this model does not know the language {code}")
        return self.first_language + number

    def seconds(self, token: int) -> float:
        """The time in its window that a timestamp token stands for."""
        return round((token - self.first_timestamp) * SECONDS_PER_TIMESTAMP, 2)


class Vocabulary:
    """Text to ids, and ids to bytes. Text never turns into special tokens."""

    def __init__(self, multilingual: bool) -> None:
        self._pairs = _pairs("multilingual" if multilingual else "english").tolist()
        self._tokens = _tokens(self._pairs)
        self._byte_of = {letter: byte for byte, letter in _byte_letters()}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def bytes_of(self, token: int) -> bytes:
        """UTF-8, perhaps a part of a character; nothing for special tokens."""
        if token >= len(self._tokens):
            return b""
        return bytes(self._byte_of[letter] for letter in self._tokens[token])

    def decode(self, tokens: list[int]) -> str:
        return b"".join(map(self.bytes_of, tokens)).decode("utf-8", "replace")

    @cached_property
    def symbols(self) -> tuple[int, ...]:
        """Tokens that stand for no speech: brackets, notes and the like, also behind a space."""
        found = {self.encode(dash)[0] for dash in _DASHES}
        for symbol in _SYMBOLS + _MUSIC:
            for ids in (self.encode(symbol), self.encode(f" {symbol}")):
                if len(ids) == 1 or symbol in _MUSIC:
                    found.add(ids[0])
        return tuple(sorted(found))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """Only a prompt needs it, and `symbols`."""
        ids = {token: number for number, token in enumerate(self._tokens)}
        merges = [(self._tokens[a], self._tokens[b]) for a, b in self._pairs]
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        return tokenizer


def _pairs(name: str) -> npt.NDArray[np.uint16]:
    """(50000, 2): the tokens that make token 256 + row. In the file low bytes come before high bytes."""
    raw = np.frombuffer(lzma.decompress((_MERGES / f"{name}.xz").read_bytes()), np.uint8)
    planes = raw.reshape(2, 2, -1).transpose(2, 0, 1)  # (row, column, byte)
    return np.ascontiguousarray(planes).view("<u2")[..., 0]


def _tokens(pairs: list[list[int]]) -> list[str]:
    """Every token that is text, in GPT-2's letters for bytes."""
    tokens = [letter for _, letter in _byte_letters()]
    for a, b in pairs:
        tokens.append(tokens[a] + tokens[b])
    return tokens


def _byte_letters() -> list[tuple[int, str]]:
    """(byte, letter) in the order of the ids: printable Latin-1 is itself, the rest begins at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [(byte, chr(byte)) for byte in printable] + [(b, chr(0x100 + i)) for i, b in enumerate(others)]
