"""What clients write is text: names of control tokens in messages stay names.

A user who writes "<|im_end|>\\n<|im_start|>system" must not open a turn. The names are hidden from the
template and shown again afterwards:

    messages --names become letters--> template --text--> letters become text, the template's names tokens

- A letter is one character of Unicode's private use that stands nowhere in this conversation. So a template
  that trims, compares, counts or cuts texts treats it as any other word. A conversation without the name of
  a control token is handed to the template as it is.
- Hidden are the added tokens that are special, that look like a control token (<|user|>: some folders do not
  say that it is special), or that the template writes itself (<tool_response>). Other added tokens, such as
  <h1> or runs of spaces, are ordinary words.
- Marks of thoughts and calls (<think>, <tool_call>) are the assistant's own words: templates look for them,
  and the model's earlier answer has the tokens that it had. They stay tokens in assistant messages and in
  the system's, where operators explain them. What users and tools write is text here too.
- A mark of a template that is no token ("### Human:", "[INST]" in Llama 2) cannot be told from text.

Rendering first and looking for the users' words in the result would not do: templates change and repeat
them. Knows no tokenizer.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
NOTHING = "(?!)"  # a pattern that is nowhere found
LOOK = re.compile(r"<[|\uff5c].*[|\uff5c]>|<(start|end)_of_\w+>|\[/?[A-Z_]+\]", re.DOTALL)
OWN_ROLES = frozenset({"assistant", "system"})  # whose texts may hold marks of thoughts and calls


@dataclass(frozen=True)
class AddedToken:
    name: str
    special: bool


@dataclass(frozen=True)
class ControlTokens:
    """Names, by who may use them."""

    names: frozenset[str]  # all that are hidden in what users and tools write
    marks: frozenset[str]  # those that an assistant may write
    any_name: re.Pattern[str]


def found(added: Iterable[AddedToken], templates: str, tags: Collection[str]) -> ControlTokens:
    """`templates`: their source. `tags` are around thoughts."""
    names, marks = set(), set(tags)
    for token in added:
        looks = token.special or LOOK.fullmatch(token.name)
        if len(token.name) < 2 or not token.name.strip():
            continue
        if looks or token.name in marks or token.name in templates:
            names.add(token.name)
        if not looks:
            marks.add(token.name)
    return ControlTokens(frozenset(names), frozenset(marks & names), _any_of(names))


class Hiding:
    """One conversation: hides names, and shows them again in what the template has made of it."""

    def __init__(self, control: ControlTokens, values: Any) -> None:
        """`values`: all that is going to be hidden. Raises ValueError if no letter is left for a name."""
        self._control = control
        texts = list(_texts(values))
        names = sorted({name for text in texts for name in control.any_name.findall(text)})
        used = set().union(*texts) if names else set()
        unused = (chr(code) for code in itertools.chain(*PRIVATE_USE) if chr(code) not in used)
        self._letters = dict(zip(names, unused, strict=False))
        if len(self._letters) < len(names):
            raise ValueError("they hold every character of Unicode's private use")
        self._names = {letter: name for name, letter in self._letters.items()}
        escaped = {json.dumps(letter)[1:-1]: name for letter, name in self._names.items()}
        self._names |= escaped  # as tojson(ensure_ascii=true) writes them

    def messages(self, messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [self._message(message) for message in messages]

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        is_own = message.get("role") in OWN_ROLES
        hidden: dict[str, Any] = self.value(message, self._control.marks if is_own else ())
        return hidden

    def value(self, value: Any, keeps: Collection[str] = ()) -> Any:
        """With letters in all its texts."""
        if not self._letters:
            return value
        if isinstance(value, str):
            return self._control.any_name.sub(
                lambda name: name[0] if name[0] in keeps else self._letters[name[0]], value
            )
        if isinstance(value, Mapping):
            return {self.value(key, keeps): self.value(item, keeps) for key, item in value.items()}
        return [self.value(item, keeps) for item in value] if isinstance(value, (list, tuple)) else value

    def shown(self, text: str, as_text: Callable[[str], str], as_token: Callable[[str], str]) -> str:
        """With `as_token` of each name that the template has written, and `as_text` of each hidden one."""
        text = self._control.any_name.sub(lambda name: as_token(name[0]), text)
        letters = re.compile("|".join(map(re.escape, self._names)) or NOTHING)
        return letters.sub(lambda letter: as_text(self._names[letter[0]]), text)


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    """Finds the longest name that begins at a place, as tokenizers do.

    A tree, for some folders have six thousand names: side by side each "<" of a text would be tried with all.
    """
    tree: dict[str, Any] = {}
    for name in names:
        node = tree
        for letter in name:
            node = node.setdefault(letter, {})
        node[""] = {}  # a name ends here
    return re.compile(_pattern(tree) if tree else NOTHING)


def _pattern(node: dict[str, Any]) -> str:
    chain = ""
    while len(node) == 1 and "" not in node:
        ((letter, node),) = node.items()
        chain += re.escape(letter)
    branches = [re.escape(letter) + _pattern(below) for letter, below in node.items() if letter]
    if not branches:
        return chain
    return f"{chain}(?:{'|'.join(branches)}){'?' if '' in node else ''}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from itertools.chain.from_iterable(map(_texts, itertools.chain(*value.items())))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(_texts, value))
