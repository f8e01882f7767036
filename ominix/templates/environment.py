"""Chat templates rendered: what transformers gives a template to work with, and no more.

In: a template's source and its variables. Out: text. transformers' own environment (in
utils/chat_template_utils) is built again here because importing it takes a second and 55 MiB; a test holds
the two together. Bounds nothing but the length of the text: the rest is for `limits`, in the child.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2.ext
from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class TooLong(TemplateError):
    """The template writes more than it may."""


def render(source: str, variables: Mapping[str, Any], max_chars: int) -> str:
    """Raises TemplateError, and whatever the template's own operations raise."""
    pieces, size = [], 0
    for piece in _compiled(source).generate(**variables):
        size += len(piece)
        if size > max_chars:
            raise TooLong(f"it writes more than {max_chars} characters")
        pieces.append(piece)
    return "".join(pieces)


@lru_cache(maxsize=4)  # a model has one, or one more for tools
def _compiled(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _Namespace
    return environment.from_string(source)


class _Generation(jinja2.ext.Extension):
    """{% generation %} marks what the assistant has written: for training. Its body is rendered as it is."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja's own also escapes HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # the template's date, where the server stands


class _Dict:
    """`dict` for templates: no class, so nothing can be reached through it."""

    def __call__(self, *args: Any, **items: Any) -> dict[Any, Any]:
        return dict(*args, **items)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    def __init__(*args: Any, **items: Any) -> None:
        self, rest = args[0], args[1:]
        attributes: dict[str, Any] = dict(*rest, **items)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace has no place for {name!r}")
