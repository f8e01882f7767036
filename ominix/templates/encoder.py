"""Prompt text to tokens, where the name of a control token can also be text.

A tokenizer finds the names of its added tokens wherever they stand, whoever wrote them. So the tokenizer used
here is the folder's own with one change: each control token has a secret name, drawn anew by every process.

    name in the text           becomes
    secret name                the token: a template's mark, put there by `control_tokens`
    the token's public name    ordinary text, such as a user's "<|im_end|>"

Nothing else differs: a text in which no user has written a control token has the tokens that the tokenizer
itself gives, because both split it at the same places. Knows neither messages nor templates. Imports no
transformers.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping

from tokenizers import Tokenizer

SAFE_CHARS = 64 << 10  # encoded without further ado, in some 20 ms
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # of JSON; all names in one pass, as a folder may have thousands


class NotUsable(Exception):
    """The tokenizer cannot be built, or the changed one would have other ids."""


def secret_names(names: Iterable[str]) -> dict[str, str]:
    """One for each, all of one length. A user cannot write what a user cannot know."""
    secret = secrets.token_hex(8)
    return {name: f"{secret}{number:05x}" for number, name in enumerate(names)}


class Encoder:
    def __init__(self, source: str, renamed: Mapping[str, str]) -> None:
        """`source`: a tokenizer.json. `renamed`: names of its added tokens -> names that stand for them.

        Raises NotUsable."""
        try:
            self._tokenizer = _renamed(source, renamed)
        except Exception as error:  # tokenizers raises plain Exceptions
            raise NotUsable(str(error)) from None

    def encode(self, text: str, most: int) -> list[int] | None:
        """None: the beginning of a long text has more than `most` already, so the rest is not needed."""
        size = SAFE_CHARS
        while size < len(text):
            if len(self._ids(text[:size])) > most:
                return None
            size *= 4
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _renamed(source: str, renamed: Mapping[str, str]) -> Tokenizer:
    plain = Tokenizer.from_str(source)
    plain.no_padding()
    plain.no_truncation()
    ids = {name: plain.token_to_id(name) for name in renamed}
    source = plain.to_str()  # one spelling of each string
    spelled = {_string(name): _string(secret) for name, secret in renamed.items()}
    source = STRING.sub(lambda found: spelled.get(found[0], found[0]), source)
    try:
        changed = Tokenizer.from_str(source)
    except Exception:
        changed = Tokenizer.from_str(_without_merges(source, renamed))
    if ids != {name: changed.token_to_id(secret) for name, secret in renamed.items()}:
        raise NotUsable("its control tokens would have other ids")
    return changed


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _without_merges(source: str, renamed: Mapping[str, str]) -> str:
    """Without merges that make a control token's name: no text reaches them, and now they have no token."""
    whole = json.loads(source)
    merges = whole["model"].get("merges", [])
    whole["model"]["merges"] = [pair for pair in merges if "".join(pair) not in renamed]
    return json.dumps(whole, ensure_ascii=False)
