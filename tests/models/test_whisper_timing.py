"""When tokens are said: the path through attention, and what smooths it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ominix.models.whisper import timing
from ominix.models.whisper.timing import dynamic_time_warping, median, token_starts


def cheapest(cost: np.ndarray) -> float:
    """By trying every path: for tables of a few cells."""
    if cost.size == 1:
        return float(cost[0, 0])
    parts = [cost[:-1, :-1], cost[:-1], cost[:, :-1]]
    return float(cost[-1, -1]) + min(cheapest(part) for part in parts if part.size)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3), (4, 4)])
def test_the_path_is_the_cheapest_and_runs_from_corner_to_corner(shape):
    cost = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    rows, columns = dynamic_time_warping(cost)
    assert (rows[0], columns[0]) == (0, 0)
    assert (rows[-1] + 1, columns[-1] + 1) == shape
    steps = set(
        itertools.starmap(lambda a, b: tuple(b - a), itertools.pairwise(np.stack([rows, columns], 1)))
    )
    assert steps <= {(1, 1), (1, 0), (0, 1)}
    assert cost[rows, columns].sum() == pytest.approx(cheapest(cost), abs=1e-5)


def test_tokens_begin_where_attention_moves_to_them():
    scores = np.full((2, 4, 100), -5.0, np.float32)
    for row, (begin, end) in enumerate([(0, 20), (20, 45), (45, 80), (80, 100)]):
        scores[:, row, begin:end] = 5.0
    assert token_starts(scores) == pytest.approx([0.0, 0.4, 0.9, 1.6])


def test_one_place_out_of_line_is_smoothed_away():
    x = np.zeros((1, 30), np.float32)
    x[0, 10] = 9.0
    assert not median(x).any()
    x[0, 10:15] = 9.0
    assert median(x)[0, 12] == 9.0
    short = np.ones((2, 3), np.float32)
    assert (median(short) == short).all()


def test_equal_attention_everywhere_gives_some_path():
    assert len(token_starts(np.zeros((1, 3, 10), np.float32))) == 3


def test_a_glance_elsewhere_is_not_seen():
    scores = np.full((1, 3, 60), -5.0, np.float32)
    for row, (begin, end) in enumerate([(0, 20), (20, 40), (40, 60)]):
        scores[:, row, begin:end] = 0.0
    scores[0, 1, 50] = 0.0
    seen = timing._attention(scores)[1]
    assert seen[50] == pytest.approx(seen[55])
