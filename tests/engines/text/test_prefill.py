"""Prompts in pieces: on a machine of any speed no step takes long."""

from __future__ import annotations

import pytest

from ominix.engines.text.prefill import (
    ALONE_SECONDS,
    BESIDE_SECONDS,
    BESIDE_TOKENS,
    FEWEST,
    MOST,
    PrefillPace,
)


@pytest.mark.parametrize("token", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("ratio", [5, 20, 100])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_step_takes_its_time_and_no_more(token, ratio, share):
    """`ratio`: prompt tokens that are read in the time of a pass over the weights; `share`: what part of it
    each further answer adds."""
    pace = PrefillPace(token)
    for step, answers in enumerate([0, 1, 8] * 6):
        writing = token * (1 + share * (answers - 1)) if answers else 0.0
        bound = max(BESIDE_SECONDS, BESIDE_TOKENS * writing) if answers else ALONE_SECONDS
        tokens = pace.step_tokens(answers)
        seconds = writing + token * (1 + tokens / ratio)
        assert step < 9 or seconds <= bound * 1.1 or tokens == FEWEST  # at first it guesses
        pace.learn(tokens, [answers] if answers else [], seconds)
        pace.learn(0, [8], token * (1 + share * 7))
        pace.learn(0, [1], token)
    assert tokens in (FEWEST, MOST) or seconds > bound * 0.9


def test_waiting_for_company_is_short_beside_a_token():
    assert PrefillPace(0.001).company_seconds < 0.0005
    assert PrefillPace(5.0).company_seconds <= 0.01
