"""One door to the CPU's own arithmetic: what it turns a model into, and when it leaves it alone."""

from __future__ import annotations

import pytest

from ominix.cpu import backend, door

BACKEND = backend.prepare()

import mlx.core as mx  # noqa: E402  # after the backend
import mlx.nn as nn  # noqa: E402
import numpy as np  # noqa: E402
from mlx_lm.models.switch_layers import SwitchLinear  # noqa: E402

on_cpu = pytest.mark.skipif(BACKEND.kind != "cpu", reason="nothing of it runs elsewhere")


def quantized() -> nn.Module:
    mx.random.seed(1)
    model = nn.Sequential(nn.Linear(64, 64), nn.GELU())
    nn.quantize(model, group_size=64, bits=8)
    return model


@on_cpu
def test_weights_become_float32_where_memory_holds_them():
    model = quantized()
    x = mx.random.normal((3, 64))
    before = model(x)
    door.settle(model, backend.Backend("cpu", "some"), lambda model: True)
    assert door.is_settled_for_cpu(model)
    assert mx.abs(model(x) - before).max() < 1e-3


@on_cpu
def test_without_the_memory_quantized_weights_stay_and_get_float32_scales():
    model = quantized()
    model.set_dtype(mx.bfloat16)
    door.settle(model, backend.Backend("cpu", "some"), lambda model: False)
    assert not door.is_settled_for_cpu(model)
    assert model.layers[0].scales.dtype == mx.float32


@on_cpu
@pytest.mark.parametrize("rows", [1, 3])
def test_a_layer_with_one_output_multiplies(rows):
    """A gate of Qwen2-MoE did not load: numpy gives a dimension of size 1 any stride."""
    model = nn.Sequential(nn.Linear(64, 1))
    x = mx.random.normal((rows, 64))
    before = model(x)
    door.settle(model, backend.Backend("cpu", "some"), lambda model: True)
    assert mx.abs(model(x) - before).max() < 1e-5


@on_cpu
def test_a_model_may_change_a_weight():
    """Gemma 3n clips one in every pass."""
    model = nn.Sequential(nn.Linear(64, 32, bias=False))
    door.settle(model, backend.Backend("cpu", "some"), lambda model: True)
    model.layers[0].weight = mx.clip(model.layers[0].weight, -0.01, 0.01)
    weight, x = model.layers[0].weight, mx.random.normal((3, 64))
    assert mx.abs(weight).max() <= 0.01
    assert mx.abs(model(x) - x @ weight.T).max() < 1e-5


@on_cpu
@pytest.mark.parametrize("mode", [backend.FAST, backend.PLAIN])
def test_experts_in_half_precision_compute_where_float32_does_not_fit(mode):
    """mlx raised: GatherMM::eval only supports float32."""
    model = nn.Sequential(SwitchLinear(32, 16, num_experts=8))
    x, indices = mx.random.normal((5, 1, 1, 32)), mx.array([[1, 7], [1, 3], [0, 7], [3, 3], [1, 0]])
    expected = model.layers[0](x, indices)
    model.set_dtype(mx.bfloat16)
    door.settle(model, backend.Backend("cpu", "some", mode=mode), lambda model: False)
    found = model.layers[0](x, indices)
    assert found.shape == expected.shape
    assert mx.abs(found - expected).max() < 0.02


@pytest.mark.parametrize(
    "found",
    [backend.Backend("metal"), backend.Backend("cpu"), backend.Backend("cpu", "some", mode=backend.PLAIN)],
)
def test_other_backends_and_the_plain_mode_leave_a_model_alone(found):
    model = quantized()
    model.set_dtype(mx.bfloat16)
    door.settle(model, found, lambda model: True)
    assert not door.is_settled_for_cpu(model)
    assert model.layers[0].scales.dtype == mx.bfloat16


@pytest.mark.parametrize("in_numpy", [False, True])
def test_log_softmax_is_the_same_both_ways(in_numpy):
    logits = mx.random.normal((5, 1000)) * 10
    expected = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    assert mx.abs(door.log_softmax(logits, in_numpy=in_numpy) - expected).max() < 1e-4


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("length", [1, 5])
def test_attention_in_numpy_is_that_of_mlx(length, masked):
    keys = (2, 3, 7, 4)  # (B, H, K, D)
    q, k, v = mx.random.normal((2, length, 3, 4)), mx.random.normal(keys), mx.random.normal(keys)
    mask = mx.array(np.tri(length, 7, 7 - length, dtype=bool)) if masked else None
    found, expected = (door.attention(q, k, v, mask, in_numpy=way) for way in (True, False))
    assert found.shape == (2, length, 3, 4)
    assert np.allclose(found, expected, atol=1e-5)
