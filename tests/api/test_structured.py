"""response_format as a grammar."""

from __future__ import annotations

import json

import pytest

from ominix.api.chat_completions import chat_job
from ominix.errors import InvalidRequest
from ominix.http import schemas
from ominix.wire.jobs import Grammar

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def grammar(form):
    return chat_job(schemas.checked("chat_completion_request", {**HELLO, "response_format": form})).grammar


def test_each_type_becomes_a_grammar_that_keeps_the_order_of_properties():
    schema = {"properties": {"b": {}, "a": {}}}
    named = {"name": "x", "schema": schema, "strict": None}
    assert grammar({"type": "text"}) is None
    assert grammar({"type": "json_object"}) == Grammar("json_schema", '{"type":"object"}')
    assert grammar({"type": "json_schema", "json_schema": named}) == Grammar(
        "json_schema", json.dumps(schema)
    )
    assert grammar({"type": "regex", "regex": "a+"}) == Grammar("regex", "a+")
    assert grammar({"type": "grammar", "grammar": 'start: "a"'}) == Grammar("lark", 'start: "a"')


@pytest.mark.parametrize(
    "form",
    [
        {"type": "xml"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": []}},
        {"type": "regex"},
        {"type": "grammar", "grammar": ""},
    ],
)
def test_what_says_no_form_is_refused_by_name(form):
    with pytest.raises(InvalidRequest) as caught:
        grammar(form)
    assert caught.value.param.startswith("response_format")
