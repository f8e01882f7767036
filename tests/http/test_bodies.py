from __future__ import annotations

import json

import pytest
from falcon import testing

from ominix.errors import InvalidRequest
from ominix.http.bodies import parse, read_json


@pytest.mark.contract("transport.hostile-json")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"a":', "line 1, column 6"),
        (b'{"a": NaN}', "NaN is not"),
        (b'{"a": -Infinity}', "-Infinity is not"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b"[" * 1000 + b"]" * 1000, "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
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


@pytest.mark.contract("transport.hostile-json")
def test_a_byte_order_mark_and_whole_surrogate_pairs_are_fine():
    assert parse(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
