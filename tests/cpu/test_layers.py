"""Layers in numpy beside mlx-lm's own: the same numbers, whatever the layer is given."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_map
from mlx_lm.models import llama, qwen2, qwen3
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache

from ominix.cpu import backend, dense, kernels, layers

backend.prepare()

SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "rms_norm_eps": 1e-5, "vocab_size": 50, "rope_theta": 10_000.0,
    "max_position_embeddings": 4096, "tie_word_embeddings": True,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
SLIDING = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
KINDS = {
    "llama": (llama, {}),
    "llama, biases": (llama, {"attention_bias": True, "mlp_bias": True}),
    "llama, scaled": (llama, {"rope_scaling": LLAMA3}),
    "llama, sliding": (llama, SLIDING),
    "qwen2": (qwen2, {}),
    "qwen3": (qwen3, {"head_dim": 32}),
    "qwen3, scaled": (qwen3, {"head_dim": 32, "rope_scaling": YARN}),
}


def pair(kind, more) -> tuple[nn.Module, nn.Module]:
    """A random model and its twin in numpy."""
    mx.random.seed(0)
    config = {**SIZES, **more, "model_type": kind.__name__.split(".")[-1]}
    plain, twin = (kind.Model(kind.ModelArgs.from_dict(config)) for _ in range(2))
    plain.update(tree_map(lambda a: mx.random.normal(a.shape) * 0.3, plain.parameters()))
    twin.update(plain.parameters())
    dense.make(twin)
    return plain, twin


@pytest.fixture(params=KINDS)
def twins(request):
    plain, twin = pair(*KINDS[request.param])
    assert all(isinstance(layer, layers._Layer) for layer in twin.layers)
    return plain, twin


def tokens(*shape: int) -> mx.array:
    return mx.random.randint(0, 50, shape, key=mx.random.key(1))


def assert_equal(answers) -> None:
    plain, twin = (np.array(answer) for answer in answers)
    np.testing.assert_allclose(twin, plain, atol=2e-5 * np.abs(plain).max())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_prompt_its_parts_and_steps(twins, batch):
    read = tokens(batch, 24)
    caches = [make_prompt_cache(model) for model in twins]
    for begin, end in [(0, 1), (1, 14), (14, 15), (15, 16), (16, 24)]:
        part = read[:, begin:end]
        assert_equal([model(part, cache) for model, cache in zip(twins, caches, strict=True)])


def test_without_caches(twins):
    for length in (20, 12):
        assert_equal([model(tokens(2, length)) for model in twins])


@pytest.mark.parametrize("length", [1, 20])
def test_without_a_blas(monkeypatch, length):
    monkeypatch.setattr(kernels, "_blas", lambda *_: None)
    assert_equal([model(tokens(1, length)) for model in pair(*KINDS["qwen3"])])


def test_rows_of_unequal_length():
    """Each begins at another position, and sees nothing of its padding."""
    twins = pair(*KINDS["qwen3"])
    caches = [[BatchKVCache([0, 5, 2]) for _ in model.layers] for model in twins]
    read = tokens(3, 12)
    for part in (read[:, :9], read[:, 9:10], read[:, 10:]):
        plain, twin = (np.array(m(part, cache)) for m, cache in zip(twins, caches, strict=True))
        assert np.isfinite(twin).all()
        shown = slice(5, None) if part.shape[1] == 9 else slice(None)  # no answer counts within the padding
        assert_equal([plain[:, shown], twin[:, shown]])


def test_long_prompts_in_blocks(monkeypatch):
    monkeypatch.setattr(kernels, "_SCORES", 100)
    monkeypatch.setattr(kernels, "_BLOCK", 70)
    twins = pair(*KINDS["llama"])
    assert_equal([model(tokens(2, 60)) for model in twins])


def test_other_rotary_embeddings_stay_as_they_are():
    twins = pair(llama, {"rope_traditional": True})
    assert not isinstance(twins[1].layers[0], layers._Layer)
    assert_equal([model(tokens(1, 20)) for model in twins])


@pytest.mark.parametrize("count", [1, 5, 40_000])
def test_functions_are_mlx_s(count):
    x, y = (mx.random.normal((3, count)) * 4 for _ in range(2))
    pairs = {
        "gelu": (kernels.gelu(np.array(x)), nn.gelu(x)),
        "swiglu": (kernels.swiglu(np.array(x), np.array(y)), nn.silu(x) * y),
        "logsumexp": (kernels.logsumexp(np.array(x)), mx.logsumexp(x, axis=-1, keepdims=True)),
        "rms_norm": (
            kernels.rms_norm(np.array(x), np.array(y[0]), 1e-6),
            mx.fast.rms_norm(x, y[0], 1e-6),
        ),
    }
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours, np.array(theirs), atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("rows", [1, 4])
def test_products_of_any_layout(rows):
    random = np.random.default_rng(0)
    x, weight = (random.normal(size=shape).astype(np.float32) for shape in ((30, rows), (30, 7)))
    np.testing.assert_allclose(kernels.product(x.T, weight), x.T @ weight, atol=1e-5)
    for wrong in (weight.astype(np.float64), np.asfortranarray(weight)):
        with pytest.raises(ValueError, match="cannot read"):
            kernels.product(x.T, wrong)
