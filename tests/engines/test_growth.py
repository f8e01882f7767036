"""Bytes of a sequence, for published sizes: shapes alone, no weight is ever computed."""

from __future__ import annotations

import importlib

import mlx.core as mx
import pytest
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache, RotatingKVCache, make_prompt_cache

from ominix.engines import growth
from ominix.engines.growth import Growth, SequenceSize

BYTES = 3 << 30  # half of 6 GiB that are free
LIMIT = 1 << 24
# Each with the tokens that fit, as filled caches say.
PUBLISHED = {
    "llama-3.1-8b": (24_575, {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "vocab_size": 128256,
    }),
    "gemma-3-4b": (151_346, {
        "model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "intermediate_size": 10240,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 1024,
    }),
    "gemma-3-27b": (33_996, {
        "model_type": "gemma3_text", "hidden_size": 5376, "num_hidden_layers": 62, "intermediate_size": 21504,
        "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024,
    }),
    "command-r7b": (86_015, {"model_type": "cohere2"}),
    "olmo-3-7b": (12_287, {
        "model_type": "olmo3", "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008,
        "num_attention_heads": 32, "rms_norm_eps": 1e-6, "vocab_size": 100278, "sliding_window": 4096,
        "max_position_embeddings": 65536, "rope_theta": 500000.0,
    }),
    "falcon-h1-7b": (68_400, {
        "model_type": "falcon_h1", "hidden_size": 3072, "num_hidden_layers": 44, "intermediate_size": 12288,
        "num_attention_heads": 12, "num_key_value_heads": 2, "head_dim": 128, "mamba_d_ssm": 3072,
        "mamba_n_heads": 24, "mamba_d_head": 128, "mamba_d_state": 256,
    }),
    "recurrent-gemma-2b": (LIMIT, {
        "model_type": "recurrent_gemma", "attention_bias": False, "conv1d_width": 4, "hidden_size": 2560,
        "intermediate_size": 15360, "logits_soft_cap": 30.0, "num_attention_heads": 10,
        "num_hidden_layers": 26, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "attention_window_size": 2048, "vocab_size": 256000,
        "block_types": ["recurrent", "recurrent", "attention"],
    }),
    "deepseek-v3": (45_838, {
        "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128,
        "intermediate_size": 18432, "rope_scaling": None,
    }),
}  # fmt: skip


def unmeasurable(tokens):
    raise AssertionError("the types of these caches tell")


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_allowed_contexts_are_within_a_tenth_of_what_fits(name):
    fits, config = PUBLISHED[name]
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    caches = make_prompt_cache(model)
    model(mx.array([[0]]), cache=caches)

    assert 0.9 * fits <= growth.of(caches, unmeasurable).most_tokens(BYTES, LIMIT) <= fits + growth.STEP


def filled(tokens: int, *caches):
    for cache in caches:
        if isinstance(cache, ArraysCache):
            cache[0] = mx.zeros((1, 4, growth.STEP))
        else:
            cache.update_and_fetch(mx.zeros((1, 2, tokens, 8)), mx.zeros((1, 2, tokens, 8)))
    return caches


def test_each_type_grows_in_its_own_way():
    state, full, window = filled(1, ArraysCache(1), KVCache(), RotatingKVCache(max_size=300))
    size = growth.of([CacheList(state, full), window], unmeasurable)

    assert size == SequenceSize(4 * 4 * growth.STEP, (Growth(128), Growth(128, 300)))
    assert size.bytes_of(1) == size.fixed_bytes + 2 * 128 * growth.STEP
    assert size.bytes_of(1000) == size.fixed_bytes + 128 * (1024 + 300)


def test_a_cache_that_stays_empty_takes_nothing():
    assert growth.of([KVCache()], unmeasurable).bytes_of(1000) == 0


def test_the_most_tokens_are_those_that_fit():
    size = SequenceSize(100, (Growth(10), Growth(7, 300)))
    for most_bytes in (0, 5000, 6000, 123_456):
        tokens = size.most_tokens(most_bytes, 10_000)
        assert tokens == 0 or size.bytes_of(tokens) <= most_bytes
        assert tokens == 10_000 or size.bytes_of(tokens + 1) > most_bytes


class GroupCache:
    """Of a type that is not known: a window of 16 tokens, and 8 numbers for every four."""

    def __init__(self, tokens: int) -> None:
        self.state = mx.zeros((1, min(tokens, 16), 8)), mx.zeros((1, tokens // 4, 8)), None


def test_caches_of_an_unknown_type_are_measured():
    (full,) = filled(1, KVCache())
    size = growth.of([full, GroupCache(1)], lambda tokens: [*filled(tokens, KVCache()), GroupCache(tokens)])

    assert size == SequenceSize(16 * 8 * 4, (Growth(128 + 8),))


def test_caches_that_grow_by_steps_show_it():
    class StepCache:
        state = mx.zeros((1, 2, growth.STEP, 8)), mx.zeros((1, 3))

    assert growth.of([StepCache()], unmeasurable) == SequenceSize(12, (Growth(64),))
