"""However a text is cut into calls, its logits are the same: alone, padded, in slices, after a copy."""

import copy
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model

from ominix.models.minicpm_sala import loader

pytestmark = pytest.mark.slow

CASES = Path(__file__).parents[1] / "golden" / "minicpm_sala"


@pytest.fixture(scope="module")
def model():
    """Rows before 96 read everything in both modes, so the mode of the first calls does not matter."""
    loader.register()
    return load_model(CASES / "case_b_sparse_prefill")[0]


def tokens(n, seed=0):
    return mx.array(np.random.default_rng(seed).integers(4, 128, (1, n)))


def fed(model, ids, size, cache=None):
    """The logits of all rows, fed in calls of `size`: (n, V)."""
    cache = model.make_cache() if cache is None else cache
    logits = []
    for start in range(0, ids.shape[1], size):
        logits.append(model(ids[:, start : start + size], cache)[0])
        mx.eval(logits, [c.state for c in cache])
    return np.array(mx.concatenate(logits))


@pytest.mark.parametrize(
    ("size", "n"),
    [
        (1, 130),
        (7, 450),
        pytest.param(64, 1030, marks=pytest.mark.slow),
        pytest.param(1000, 1030, marks=pytest.mark.slow),
    ],
)
def test_calls_of_any_size_give_the_logits_of_one_call(model, size, n):
    """Beyond four times the 96 tokens a row reads, blocks are gathered, before that masked."""
    ids = tokens(n)

    np.testing.assert_allclose(fed(model, ids, size), fed(model, ids, n), atol=2e-4)


def test_slices_that_bound_memory_change_nothing():
    loader.register()
    ids = tokens(300)
    whole, sliced = (load_model(CASES / "case_b_sparse_prefill")[0] for _ in range(2))
    for layer in sliced.layers[::2]:
        layer.self_attn.scores_at_once = 8 * 300 * 11  # 11 rows

    np.testing.assert_allclose(fed(sliced, ids, 300), fed(whole, ids, 300), atol=2e-4)


def test_a_dense_and_a_sparse_call_differ_where_blocks_are_left_out():
    """Guards the tests above: in this configuration the mode of a call shows."""
    loader.register()
    model, _ = load_model(CASES / "case_c_decode_crossing")
    ids = tokens(96)

    one_call, two_calls = fed(model, ids, 96), fed(model, ids, 95)

    np.testing.assert_allclose(one_call[:64], two_calls[:64], atol=2e-4)
    assert np.abs(one_call[64:95] - two_calls[64:95]).max() > 0.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_rows_give_the_logits_they_give_alone(model, side):
    lengths, width = [130, 5, 61], 130
    texts = [tokens(n, seed=n) for n in lengths]
    pads = [width - n for n in lengths]
    where = {"left": lambda p: (p, 0), "right": lambda p: (0, p)}[side]
    padded = mx.concatenate(
        [mx.pad(t, [(0, 0), where(p)], constant_values=9) for t, p in zip(texts, pads, strict=True)]
    )
    by_layer = zip(*(model.make_cache() for _ in lengths), strict=True)
    cache = [type(caches[0]).merge(caches) for caches in by_layer]
    padding = {"left": {"left_padding": pads}, "right": {"lengths": lengths, "right_padding": pads}}[side]
    for c in cache:
        c.prepare(**padding)

    first = [model(padded[:, i : i + 43], cache) for i in range(0, width, 43)]  # the last: one column
    for c in cache:
        c.finalize()
    after = model(tokens(3, seed=99)[0][:, None], cache)

    logits = np.array(mx.concatenate(first, axis=1))
    for i, (text, n) in enumerate(zip(texts, lengths, strict=True)):
        alone = model.make_cache()
        want = np.array(model(text, alone)[0])
        own = logits[i, width - n :] if side == "left" else logits[i, :n]
        np.testing.assert_allclose(own, want, atol=2e-4)
        next_want = model(tokens(3, seed=99)[:, i : i + 1], alone)[0, 0]
        np.testing.assert_allclose(np.array(after[i, 0]), np.array(next_want), atol=2e-4)


def test_a_copied_cache_goes_its_own_way(model):
    start, one, other = tokens(120), tokens(12, seed=1), tokens(12, seed=2)
    cache = model.make_cache()
    fed(model, start, 120, cache)
    kept = copy.deepcopy(cache)

    fed(model, one, 1, cache)

    np.testing.assert_allclose(
        fed(model, other, 1, kept), fed(model, mx.concatenate([start, other], axis=1), 132)[120:], atol=2e-4
    )


def test_without_a_cache_the_call_is_the_whole_text(model):
    ids = tokens(70)

    np.testing.assert_allclose(np.array(model(ids)[0]), fed(model, ids, 70), atol=1e-6)
    assert model(ids).dtype == mx.float32
