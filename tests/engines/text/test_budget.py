"""On a machine of any speed no step takes long."""

from __future__ import annotations

import pytest

from ominix.engines.text.budget import (
    ALONE_SECONDS,
    DECODING_SECONDS,
    DECODING_TOKENS,
    FEWEST,
    MOST,
    PrefillBudget,
)


@pytest.mark.parametrize("token", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("ratio", [5, 20, 100])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_a_step_takes_its_time_and_no_more(token, ratio, share):
    """`ratio`: prompt tokens that are prefilled in the time of a pass over the weights; `share`: what part
    of it each further answer adds."""
    budget = PrefillBudget(token)
    for step, answers in enumerate([0, 1, 8] * 6):
        decode = token * (1 + share * (answers - 1)) if answers else 0.0
        bound = max(DECODING_SECONDS, DECODING_TOKENS * decode) if answers else ALONE_SECONDS
        tokens = budget.tokens(answers)
        seconds = decode + token * (1 + tokens / ratio)
        assert step < 9 or seconds <= bound * 1.1 or tokens == FEWEST  # at first it guesses
        budget.learn(tokens, [answers] if answers else [], seconds)
        budget.learn(0, [8], token * (1 + share * 7))
        budget.learn(0, [1], token)
    assert tokens in (FEWEST, MOST) or seconds > bound * 0.9
