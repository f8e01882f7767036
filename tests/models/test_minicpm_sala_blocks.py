"""Block selection against the rule written out in numpy, one row and one head at a time."""

import math

import mlx.core as mx
import numpy as np
import pytest

from ominix.models.minicpm_sala import blocks
from ominix.models.minicpm_sala.config import SparseConfig
from ominix.models.minicpm_sala.storage import SparseSequence

CONFIG = SparseConfig(
    kernel_size=8, kernel_stride=4, init_blocks=1, block_size=16, window_size=32, topk=4, dense_len=64
)
Hk, G, D = 2, 4, 8


def literal(q, keys, row, config):
    """The blocks of one row: q (G, D), keys (L, D) of its KV head."""
    size, stride = config.kernel_size, config.kernel_stride
    fine = [keys[j : j + size].mean(0) for j in range(0, row + 2 - size, stride)]
    coarse = [keys[j : j + 4 * size].mean(0) for j in range(0, row + 2 - 4 * size, 4 * stride)]
    s1, s2 = q @ np.array(fine).T, q @ np.array(coarse).T
    p = (np.exp(s1) / np.exp(s2).sum(axis=1, keepdims=True)).sum(axis=0)
    own = row // config.block_size
    scores = []
    for b in range(own + 1):
        if b < config.init_blocks or b >= own - config.window_size // config.block_size:
            scores.append(math.inf)
            continue
        begin, end = b * config.block_size, (b + 1) * config.block_size
        scores.append(max(p[j] for j in range(len(p)) if j * stride < end and j * stride + size > begin))
    order = sorted(range(own + 1), key=lambda b: (-scores[b], b))
    return sorted(order[: config.topk + config.window_size // config.block_size])


def sequence_of(keys):
    sequence = SparseSequence(CONFIG)
    sequence.append(mx.array(keys), mx.array(keys))
    sequence.compress()
    return sequence


@pytest.mark.parametrize("first_row", [96, 150, 250])
def test_every_row_gets_the_blocks_of_the_rule(first_row):
    rng = np.random.default_rng(first_row)
    L = first_row + 50
    keys = rng.standard_normal((Hk, L, D)).astype(np.float32)
    q = rng.standard_normal((Hk, G, 50, D)).astype(np.float32)
    sequence = sequence_of(keys)

    fine, coarse = sequence.fine.first(L // 4 - 1), sequence.coarse.first(L // 16 - 1)
    chosen = np.array(blocks.select(mx.array(q), fine, coarse, first_row, CONFIG))

    for g in range(Hk):
        for i in range(50):
            want = literal(q[g, :, i], keys[g].astype(np.float64), first_row + i, CONFIG)
            assert np.flatnonzero(chosen[g, i]).tolist() == want, (g, first_row + i)


def test_of_equal_scores_the_lower_block_wins():
    score = mx.array([[[9.0, 1, 5, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1]]])

    chosen = blocks.top_blocks(score, mx.array([12 * 16]), CONFIG)

    # block 0 and the last three are forced; of the five fives the first two
    assert np.flatnonzero(np.array(chosen)[0, 0]).tolist() == [0, 2, 3, 10, 11, 12]


def test_a_window_over_a_boundary_counts_for_both_blocks():
    p = mx.array([[[0.0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]]])  # window 3: tokens 12 .. 19, blocks 0 and 1

    assert blocks.block_scores(p, 3, CONFIG).tolist() == [[[7, 7, 0]]]


def test_blocks_ahead_of_a_row_are_never_read():
    chosen = blocks.top_blocks(mx.ones((1, 3, 9)), mx.array([96, 120, 143]), CONFIG)

    # own block 6, 7 and 8: two before it, the first, and two more
    assert [np.flatnonzero(row).tolist() for row in np.array(chosen)[0]] == [
        [0, 1, 2, 4, 5, 6],
        [0, 1, 2, 5, 6, 7],
        [0, 1, 2, 6, 7, 8],
    ]


def test_a_score_beyond_float32_does_not_push_out_the_nearest_blocks():
    score = mx.full((1, 1, 13), math.inf)

    chosen = blocks.top_blocks(score, mx.array([12 * 16]), CONFIG)

    assert np.flatnonzero(np.array(chosen)[0, 0]).tolist() == [0, 1, 2, 10, 11, 12]


def test_compressed_keys_are_the_same_however_the_tokens_came():
    keys = np.random.default_rng(0).standard_normal((Hk, 130, D)).astype(np.float32)
    at_once, bit_by_bit = sequence_of(keys), SparseSequence(CONFIG)
    for start, stop in [(0, 3), (3, 50), *((i, i + 1) for i in range(50, 130))]:
        bit_by_bit.append(mx.array(keys[:, start:stop]), mx.array(keys[:, start:stop]))
        bit_by_bit.compress()

    for tier in ("fine", "coarse"):
        a, b = getattr(at_once, tier), getattr(bit_by_bit, tier)
        np.testing.assert_allclose(a.first(a.length), b.first(b.length), atol=1e-6)
    assert (at_once.fine.length, at_once.coarse.length) == (31, 7)
    np.testing.assert_allclose(at_once.fine.first(31)[:, 5], keys[:, 20:28].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(at_once.coarse.first(7)[:, 2], keys[:, 32:64].mean(axis=1), atol=1e-6)
