"""A text cut into the words that the aligner times, and where each stands in the text.

The cuts are the reference's (transformers' split_words_for_alignment): ideographs one by one, Japanese by
nagisa, the rest at spaces; the aligner reads letters, digits and apostrophes alone. For Korean the reference
calls soynlp's LTokenizer without scores, which cuts at spaces and nowhere else, so the package is not needed.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from ominix.errors import PackageMissing

_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Place:
    """A word of a text: `read` is what the aligner reads, text[first:last] what people do."""

    read: str
    first: int
    last: int


def split(text: str, language: str | None) -> list[Place]:
    """The words in order; no letter or digit is left out. `language`: an English name.

    Raises PackageMissing for Japanese without nagisa.
    """
    return _placed(text, _SPLITTERS.get(language or "", _default)(text.strip()))


def check(language: str | None) -> None:
    """Raises PackageMissing if texts of this language cannot be split here."""
    if language == "Japanese":
        _nagisa()


def _default(text: str) -> list[str]:
    """Ideographs one by one; else what stands between spaces."""
    words = [""]
    for character in text:
        if is_ideograph(character):
            words += [character, ""]
        elif character.isspace():
            words.append("")
        elif _is_read(character):
            words[-1] += character
    return [word for word in words if word]


def _korean(text: str) -> list[str]:
    return _read(text.split())


def _japanese(text: str) -> list[str]:
    return _read(_nagisa().tagging(text).words)


_SPLITTERS: dict[str, Callable[[str], list[str]]] = {"Japanese": _japanese, "Korean": _korean}


def _nagisa() -> ModuleType:
    try:
        return importlib.import_module("nagisa")
    except ImportError:
        raise PackageMissing(
            "Word times in Japanese need the package nagisa, which is not installed: pip install nagisa"
        ) from None


def _read(pieces: list[str]) -> list[str]:
    """What is read of each, without those of which nothing is."""
    words = ("".join(filter(_is_read, piece)) for piece in pieces)
    return [word for word in words if word]


def is_ideograph(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _IDEOGRAPHS)


def _is_read(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LN"


def _placed(text: str, words: list[str]) -> list[Place]:
    """Finds the words again; where nagisa has changed widths on the way, by their share of the letters."""
    letters = [i for i, character in enumerate(text) if _is_read(character)]
    total = sum(map(len, words))
    places: list[Place] = []
    done = 0
    for word in words:
        first = done * len(letters) // total
        done += len(word)
        last = max(first + 1, done * len(letters) // total)
        places.append(Place(word, letters[first], _with_marks(text, letters[last - 1] + 1)))
    return places


def _with_marks(text: str, end: int) -> int:
    """Past the vowel signs and accents that belong to the letter before."""
    while end < len(text) and unicodedata.category(text[end])[0] == "M":
        end += 1
    return end
