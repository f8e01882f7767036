"""The decoder loop on the tiny random checkpoint: rows join and leave, and never see each other."""

from __future__ import annotations

import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from ominix.cpu import dense
from ominix.models.qwen3_asr import weights
from ominix.models.qwen3_asr.rows import Newcomer, Rows

GOLDEN = Path(__file__).parents[1] / "golden" / "qwen3_asr"


@pytest.fixture(scope="module")
def model():
    model = weights.load(GOLDEN)
    dense.make(model)
    return model


def test_a_newcomer_s_probe_looks_inside_the_prompt(model):
    """What follows upon the third last token of one prompt follows upon the last of its beginning."""
    rows = Rows(model, watched=7)
    prompt = model.model.embed_tokens(_tokens(12))
    longer = model.model.embed_tokens(_tokens(20))
    inside, _ = rows.join([Newcomer(1, prompt, -3, 0.0), Newcomer(2, longer, -1, 0.0)])
    (at_end,) = Rows(model, watched=7).join([Newcomer(1, prompt[:-2], -1, 0.0)])
    assert inside.no_speech_logprob == pytest.approx(at_end.no_speech_logprob, abs=1e-4)
    assert inside.no_speech_logprob != pytest.approx(rows.step()[0].no_speech_logprob, abs=1e-4)


@pytest.mark.parametrize("lookahead", [False, True])
def test_rows_can_join_and_leave_in_any_order(model, lookahead):
    """Each row goes on as if the others had never been."""
    prompts = [model.model.embed_tokens(tokens) for tokens in map(_tokens, (3, 30, 12, 7))]
    alone = []
    for i, prompt in enumerate(prompts):
        rows = Rows(model, watched=0, lookahead=False)
        found = [*rows.join([Newcomer(i, prompt, -1, 0.0)]), *(rows.step()[0] for _ in range(8))]
        alone.append([draw.token for draw in found])
    rows = Rows(model, watched=0, lookahead=lookahead)
    seen: dict[int, list[int]] = {i: [] for i in range(4)}

    def note(draws):
        for draw in draws:
            seen[draw.row].append(draw.token)
            assert math.isfinite(draw.logprob)

    note(rows.join([Newcomer(i, prompts[i], -1, 0.0) for i in (0, 1)]))
    note(rows.step())
    note(rows.join([Newcomer(i, prompts[i], -1, 0.0) for i in (2, 3)]))
    note(rows.step())
    rows.leave({1})
    note(rows.step())
    rows.leave({3, 0})
    note(rows.step())
    seen[1].clear()
    note(rows.join([Newcomer(1, prompts[1], -1, 0.0)]))
    note(rows.step())
    note(rows.step())
    rows.leave({2, 1})
    assert len(rows) == 0
    seen[3].clear()
    note(rows.join([Newcomer(3, prompts[3], -1, 0.0)]))
    note(rows.step())
    note(rows.step())
    for i in range(4):
        assert seen[i] == alone[i][: len(seen[i])]
        assert len(seen[i]) >= 3


def _tokens(count: int):
    return mx.array(np.random.RandomState(count).randint(0, 256, count))
