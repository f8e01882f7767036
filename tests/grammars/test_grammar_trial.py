"""Grammars are tried in a child: what cannot be obeyed, or not within bounds, is refused with the reason."""

from __future__ import annotations

import json

import pytest

from ominix.errors import JobRefused
from ominix.grammars import compiler
from ominix.grammars.judge import judge
from ominix.wire.jobs import Grammar

pytestmark = pytest.mark.slow


def schema(value: object) -> Grammar:
    return Grammar("json_schema", json.dumps(value))


def chain(length: int) -> Grammar:
    link = {f"a{i}": {"properties": {"x": {"$ref": f"#/$defs/a{i + 1}"}}} for i in range(length)}
    return schema({"$defs": {**link, f"a{length}": True}, "$ref": "#/$defs/a0"})


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        (schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (schema({"not": {"type": "string"}}), "not"),
        (schema({"$ref": "https://example.org/x.json"}), "does not fetch"),
        (schema({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}), "no text fits it"),
        (schema({"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}}), "uniqueItems"),
        (chain(2000), "limit of 400"),
        (Grammar("regex", "(a"), "unclosed group"),
        (Grammar("lark", "start: nothing"), "nothing"),
        (Grammar("lark", "start: r0\n" + "r0: r0\n" * 2000), "limit of 1000"),
        (Grammar("json_schema", "[" * 200 + "]" * 200), "limit of 100 levels"),
        (Grammar("regex", "a" * (compiler.MOST_CHARS + 1)), "the limit is 262144"),
    ],
)  # fmt: skip
def test_what_cannot_be_obeyed_is_refused_with_the_reason(grammar, reason):
    with pytest.raises(JobRefused, match=reason) as caught:
        judge(grammar)
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_value")


def test_a_regex_that_never_ends_is_stopped():
    with pytest.raises(JobRefused, match="limit of 1 s"):
        judge(Grammar("regex", "((a{1000}){1000}){1000}"), cpu_seconds=1)


def test_what_can_be_obeyed_passes():
    judge(schema({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}))
