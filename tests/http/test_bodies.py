from __future__ import annotations

import pytest

from ominix.errors import InvalidRequest
from ominix.http.bodies import parse


@pytest.mark.contract("transport.hostile-json")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b'{"a":', "line 1, column 6"),
        (b'{"a": NaN}', "NaN is not"),
        (b'{"a": -Infinity}', "-Infinity is not"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": [-9223372036854775809]}', "too large"),
        (b'{"a": 18446744073709551616}', "too large"),
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


def test_a_number_of_64_bits_is_fine():
    assert parse(b"[-9223372036854775808, 18446744073709551615]") == [-(1 << 63), (1 << 64) - 1]


@pytest.mark.contract("transport.hostile-json")
def test_a_byte_order_mark_and_whole_surrogate_pairs_are_fine():
    assert parse(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
