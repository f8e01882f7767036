from __future__ import annotations

import json

import falcon
import pytest

from ominix.errors import OminixError
from ominix.http import answers
from ominix.http.answers import Answers

WRONG = {"status": 5}
LARGE = {"status": "x" * answers.MAX_SAMPLED_BYTES}


def sent(by: Answers, *bodies: object, schema: str = "liveness") -> None:
    for body in bodies:
        resp = falcon.Response()
        by.send(resp, schema, body)
        assert (resp.status_code, resp.data) == (200, answers.json_bytes(body))


@pytest.mark.parametrize("body", [WRONG, LARGE])
def test_a_strict_server_checks_every_answer(body):
    strict = Answers(strict=True)
    for _ in range(3):
        resp = falcon.Response()
        with pytest.raises(OminixError):
            strict.send(resp, "liveness", body)
        assert resp.data is None
    sent(strict, {"status": "ok"})


def test_other_servers_check_a_sample_and_send_it_all_the_same(caplog):
    """The check of six hours of text held the interpreter lock for 3.9 s, for a line in the log."""
    sent(Answers(strict=False, sample_every=3), *[WRONG] * 7)
    assert caplog.text.count("breaks its schema") == 3  # the first, the fourth, the seventh


def test_each_schema_has_its_own_sample(caplog):
    by = Answers(strict=False)
    sent(by, *[{"status": "ok"}] * 5)
    sent(by, WRONG, schema="model")
    assert caplog.text.count("breaks its schema") == 1


def test_a_large_answer_is_not_in_the_sample(caplog):
    sent(Answers(strict=False, sample_every=1), LARGE)
    assert not caplog.text


DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": "\ud800", "\udcff": 1}, {"a": "\ud800", "\udcff": 1}),
        ([1.5, float("nan"), float("inf"), -float("inf")], [1.5, None, None, None]),
        ([10**300, 10**5000], [10**300, None]),
        ({"a": [{"b": (1, {2: float("nan")})}]}, {"a": [{"b": [1, {"2": None}]}]}),
        ([object(), {1, 2}, True, None], ["<object>", "<set>", True, None]),
        ("日本 \u2028 \0", "日本 \u2028 \0"),
    ],
)
def test_json_is_written_of_whatever_there_is(value, read):
    """The name of a folder that was no UTF-8 made every list of models, and every 404, a 500."""
    assert json.loads(answers.json_bytes(value)) == read


def test_a_value_without_end_is_written_to_a_depth():
    assert len(answers.json_bytes(DEEP)) < 1000
