"""Marks: special tokens inside a text that is still to be read.

A special token is a mark by its id: the same name in letters is only a text about it. So that one text can
hold both, each special token stands in it as one letter that no text has, a lone surrogate (U+D800 to U+DFFF:
UTF-8 cannot say them). Who has read the text turns what is left over into nothing, or into their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FIRST, MOST = 0xD800, 0x800
LETTERS = re.compile(f"[{chr(FIRST)}-{chr(FIRST + MOST - 1)}]")
PLACEHOLDER = re.compile(r"unused|reserved|extra_id|placeholder", re.IGNORECASE)


class Marks:
    def __init__(self, names: Mapping[int, str]) -> None:
        """`names` of special tokens, by id. Where they are too many, placeholders have no letter."""
        if len(names) > MOST:
            names = {token: name for token, name in names.items() if not PLACEHOLDER.search(name)}
        marked = list(names.items())[:MOST]
        self._letters = {token: chr(FIRST + place) for place, (token, _) in enumerate(marked)}
        self._names = {self._letters[token]: name for token, name in marked}
        self._by_name = {name: letter for letter, name in self._names.items() if name}
        longest_first = sorted(self._by_name, key=len, reverse=True)
        self._any_name = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def letter(self, token: int) -> str:
        """ "" for a token that is none of them."""
        return self._letters.get(token, "")

    def encoded(self, text: str) -> str:
        """With letters in place of names."""
        return self._any_name.sub(lambda found: self._by_name[found[0]], LETTERS.sub("", text))

    def spelled(self, text: str) -> str:
        """With names in place of letters."""
        return LETTERS.sub(lambda found: self._names.get(found[0], ""), text)

    @staticmethod
    def silenced(text: str) -> str:
        """Without the letters."""
        return LETTERS.sub("", text)
