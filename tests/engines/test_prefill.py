"""Prompts in pieces: on a machine of any speed no step takes long."""

from __future__ import annotations

import pytest

from ominix.engines.chat.prefill import (
    ALONE_SECONDS,
    BESIDE_SECONDS,
    BESIDE_TOKENS,
    FEWEST,
    MOST,
    PrefillPace,
)


@pytest.mark.parametrize("token", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("ratio", [5, 20, 100])
def test_a_step_takes_its_time_and_no_more(token, ratio):
    """`ratio`: prompt tokens that are read in the time of a pass over the weights."""
    pace = PrefillPace(token)
    for beside in (False, True, False, True, True, False):
        bound = max(BESIDE_SECONDS, BESIDE_TOKENS * token) if beside else ALONE_SECONDS
        tokens = pace.step_tokens(beside)
        passes = 2 if beside else 1
        seconds = token * (passes + tokens / ratio)
        assert seconds <= bound * 1.01 or tokens == FEWEST or ratio < 8  # the first guess
        pace.learn(tokens, passes, seconds)
        pace.learn(0, 1, token)
    assert tokens in (FEWEST, MOST) or seconds == pytest.approx(ALONE_SECONDS, rel=0.02)


def test_waiting_for_company_is_short_beside_a_token():
    assert PrefillPace(0.001).company_seconds < 0.0005
    assert PrefillPace(5.0).company_seconds <= 0.01
