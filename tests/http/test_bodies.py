from __future__ import annotations

import contextlib
import json
import time

import pytest
from falcon import testing

from ominix.errors import InvalidRequest
from ominix.http import schemas
from ominix.http.bodies import MAX_VALUES, parse, read_json


@pytest.mark.contract("transport.hostile-json")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"a":', "line 1, column 6"),
        (b'{"a": NaN}', "NaN is not"),
        (b'{"a": -Infinity}', "-Infinity is not"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 500 + b"}", "too long"),
        (b'{"a": 0.' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b"[" * 1000 + b"]" * 1000, "nested too deeply"),
        (b"[" * 40_000, "nested too deeply"),
        (b"[" * 100_000, "about 100001 values, and 50000 are allowed"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"{}{}", "Extra data"),
    ],
)
def test_what_is_not_clean_json_is_refused_with_the_reason(body, reason):
    with pytest.raises(InvalidRequest, match=reason) as caught:
        parse(body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (-(1 << 63), -(1 << 63)),
        ((1 << 64) - 1, (1 << 64) - 1),
        (-(1 << 63) - 1, -(2.0**63)),
        (1 << 64, 2.0**64),
    ],
)
def test_integers_that_no_message_holds_become_floats_once_the_schema_has_seen_them(given, kept):
    body = {"model": "m", "messages": [{"role": "user"}], "chat_template_kwargs": {"deep": [given]}}
    req = testing.create_req(
        method="POST", body=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    fields = read_json(req, "chat_completion_request", 1000)
    (found,) = fields["chat_template_kwargs"]["deep"]
    assert found == kept
    assert type(found) is type(kept)


WIDE = {
    "messages": '"messages": [%s]',
    "arrays": '"messages": [[%s]]',
    "content": '"messages": [{"role": "user", "content": [%s]}]',
    "tool calls": '"messages": [{"role": "user", "tool_calls": [%s]}]',
    "stop": '"messages": [{"role": "user"}], "stop": [%s]',
    "template options": '"messages": [{"role": "user"}], "chat_template_kwargs": {"a": [%s]}',
    "bias": '"messages": [{"role": "user"}], "logit_bias": {%s}',
    "keys": '"messages": [{"role": "user"}], "metadata": {%s}',
}


def wide(place: str, values: int) -> bytes:
    item = (lambda i: f'"k{i}":0') if place in ("bias", "keys") else (lambda i: ("0", "{}", "[]")[i % 3])
    return f'{{"model": "m", {WIDE[place] % ",".join(map(item, range(values)))}}}'.encode()


@pytest.mark.parametrize("place", WIDE)
def test_what_many_wrong_values_cost_is_bounded(place):
    """A body of 1 MiB took 20 seconds of the processor, in which no other request went on."""
    schemas.warm()
    for values in (15_000, 400_000):
        body = wide(place, values)
        begun = time.process_time()
        with contextlib.suppress(InvalidRequest):
            schemas.checked("chat_completion_request", parse(body))
        assert time.process_time() - begun < 0.5


def test_a_conversation_of_as_many_messages_as_are_allowed_is_taken():
    part = {"type": "text", "text": "a, b [c] {d}, " * 20}
    body = {"model": "m", "messages": [{"role": "user", "content": [part, part]}] * 4096}
    assert schemas.checked("chat_completion_request", parse(json.dumps(body).encode()))


def test_commas_and_brackets_in_texts_are_no_values():
    text = 'a, [b], {"c": 1}, \\ ' * MAX_VALUES
    assert parse(json.dumps({"a": text, "b": text}).encode())["b"] == text


@pytest.mark.contract("transport.hostile-json")
def test_a_byte_order_mark_and_whole_surrogate_pairs_are_fine():
    assert parse(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
