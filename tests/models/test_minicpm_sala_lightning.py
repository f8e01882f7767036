"""The lightning recurrence against itself written out token by token in float64."""

import json
import math
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from ominix.models.minicpm_sala import lightning
from ominix.models.minicpm_sala.cache import LightningCache
from ominix.models.minicpm_sala.config import ModelArgs

CASE = Path(__file__).parents[1] / "golden" / "minicpm_sala" / "case_b_sparse_prefill"

B, H, D = 2, 3, 8


@pytest.fixture
def random():
    rng = np.random.default_rng(0)
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)


def literal(S, q, k, v, gamma, own):
    """S <- gamma S + k v^T, o = S^T q, over the columns that are a row's own."""
    S = S.astype(np.float64).copy()
    o = np.zeros(q.shape)
    for b in range(q.shape[0]):
        for t in range(*own[b]):
            S[b] = gamma[:, None, None] * S[b] + k[b, :, t, :, None] * v[b, :, t, None, :]
            o[b, :, t] = np.einsum("hkv,hk->hv", S[b], q[b, :, t])
    return o, S


def seen_by(own, T):
    column = np.arange(T)
    return mx.array(np.stack([np.clip(column + 1, start, stop) - start for start, stop in own]))


@pytest.mark.parametrize("T", [2, 127, 128, 129, 300])
def test_chunks_give_what_the_recurrence_gives(random, T):
    slopes = np.array(lightning.decay_slopes(H))
    S, (q, k, v) = random(B, H, D, D), (random(B, H, T, D) * s for s in (1.0, 0.5, 2.0))

    own = [(0, T)] * B

    o, end = lightning.chunked(*map(mx.array, (S, q, k, v, np.float32(slopes))), seen_by(own, T))

    want, want_end = literal(S, q, k, v, np.exp(-slopes), own)
    np.testing.assert_allclose(o, want, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(end, want_end, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("own", [[(0, 140), (0, 77)], [(5, 200), (133, 200)], [(0, 0), (60, 150)]])
def test_padding_neither_decays_nor_adds(random, own):
    T, slopes = 200, np.array(lightning.decay_slopes(H))
    S, q, k, v = random(B, H, D, D), random(B, H, T, D), random(B, H, T, D), random(B, H, T, D)
    mask = np.zeros((B, 1, T, 1), np.float32)
    for b, (start, stop) in enumerate(own):
        mask[b, :, start:stop] = 1

    o, end = lightning.chunked(*map(mx.array, (S, q, k * mask, v, np.float32(slopes))), seen_by(own, T))

    want, want_end = literal(S, q, k, v, np.exp(-slopes), own)
    np.testing.assert_allclose(np.array(o) * mask, want, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(end, want_end, rtol=1e-5, atol=1e-4)


def test_the_fused_step_is_the_plain_step(random):
    gamma = mx.exp(-mx.array(lightning.decay_slopes(H)))[:, None, None]
    S, q, k, v = (mx.array(random(*shape)) for shape in [(B, H, D, D), *[(B, H, 1, D)] * 3])

    for fused, plain in zip(
        lightning.fused_step(S, q, k, v, gamma), lightning.recurrent_step(S, q, k, v, gamma), strict=True
    ):
        np.testing.assert_allclose(fused, plain, rtol=1e-6, atol=1e-6)


def test_a_step_enters_the_new_token_undecayed():
    S = mx.ones((1, 1, 1, 1))
    one = mx.full((1, 1, 1, 1), 3.0)

    o, S = lightning.recurrent_step(S, one, one, one, mx.full((1, 1, 1), 0.5))

    assert S.item() == 0.5 + 9 and o.item() == 3 * 9.5


def test_slopes_are_alibi_of_any_number_of_heads():
    released = lightning.decay_slopes(32)
    assert released[0] == pytest.approx(0.8409, abs=1e-4) and released[-1] == 0.00390625
    assert math.exp(-released[0]) == pytest.approx(0.4313, abs=1e-4)

    # 6 heads: the four slopes of 4, then every other one of the eight of 8 (Press et al. 2022, appendix)
    assert lightning.decay_slopes(6) == [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]


@pytest.mark.parametrize(("spelt", "scale"), [("1/sqrt(d)", 8**-0.5), ("1/d", 1 / 8), ("none", 1.0)])
def test_the_scale_is_the_configs(spelt, scale):
    """The golden cases cannot tell: o_norm takes any constant factor out again."""
    config = json.loads((CASE / "config.json").read_text())
    x = mx.random.normal((1, 5, 64))
    outputs = []
    for lightning_scale in (spelt, "none"):
        mx.random.seed(0)
        args = ModelArgs.from_dict({**config, "use_output_norm": False, "lightning_scale": lightning_scale})
        outputs.append(np.array(lightning.LightningAttention(args)(x, LightningCache())))

    np.testing.assert_allclose(outputs[0], outputs[1] * scale, rtol=1e-4, atol=1e-6)
