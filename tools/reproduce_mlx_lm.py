"""Where mlx-lm's own batch gives other answers than prompts one by one: python tools/reproduce_mlx_lm.py

Needs mlx and mlx-lm alone. Random models of a few kilobytes; what is compared are the log-probabilities of
each prompt's first token, from BatchGenerator with all prompts at once and from a single pass of the model.
What the faults are is in docs/upstream.md.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import make_prompt_cache

WORDS = 128
PROMPTS = [[7, 38], [9, 40, 71, 102, 5, 36, 67, 98, 1, 32, 63, 94]]
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4}
KV2 = {"num_attention_heads": 4, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"intermediate_size": 96, "rms_norm_eps": 1e-5, **HEADS},
    "mamba": {
        "intermediate_size": 128, "state_size": 8, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True,
        "time_step_rank": 4,
    },
    "jamba": {
        "intermediate_size": 96, "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1,
        "expert_layer_period": 2, "mamba_d_conv": 4, "mamba_d_state": 8, "mamba_expand": 2, "num_experts": 2,
        "num_experts_per_tok": 1, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096, **HEADS,
    },
    "nemotron_h": {
        "intermediate_size": 96, "attention_bias": False, "mamba_num_heads": 4, "mamba_head_dim": 16,
        "mamba_proj_bias": False, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 1, "mlp_bias": False,
        "layer_norm_epsilon": 1e-5, "use_bias": False, "use_conv_bias": True, "head_dim": 16,
        "hybrid_override_pattern": ["M", "*", "-"], "max_position_embeddings": 4096, **HEADS,
    },
    "gemma2": {"intermediate_size": 96, "head_dim": 16, "rms_norm_eps": 1e-6, **KV2},
    "gpt_bigcode": {
        "n_embd": 64, "n_layer": 2, "n_inner": 96, "n_head": 4, "n_positions": 512,
        "layer_norm_epsilon": 1e-5,
    },
    "afm7": {"hidden_dim": 64, "num_layers": 3, "num_kv_reuse_layers": 2, "num_heads": 4, "num_kv_heads": 2},
}  # fmt: skip


def build(kind: str) -> Any:
    module: Any = importlib.import_module(f"mlx_lm.models.{kind}")
    config = {"model_type": kind, "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": WORDS}
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(config | CONFIGS[kind]))
    model.update(tree_map(lambda w: mx.random.normal(w.shape) * 0.3 if w.ndim > 1 else w, model.parameters()))
    return model


def alone(model: Any, prompt: list[int]) -> mx.array:
    """(words,)"""
    logits = model(mx.array([prompt]), cache=make_prompt_cache(model))[0, -1]
    return logits - mx.logsumexp(logits)


def together(model: Any) -> list[mx.array]:
    generator = BatchGenerator(model, max_tokens=1)
    uids = generator.insert(PROMPTS)
    found: dict[int, mx.array] = {}
    while responses := generator.next_generated():
        found |= {response.uid: response.logprobs for response in responses}
    return [found[uid] for uid in uids]


def verdict(kind: str) -> str:
    model = build(kind)
    apart = [alone(model, prompt) for prompt in PROMPTS]
    try:
        pairs = zip(apart, together(model), strict=True)
        return f"differs by {max(mx.abs(a - b).max().item() for a, b in pairs):.2g}"
    except (ValueError, RuntimeError, TypeError) as error:
        return f"raises {type(error).__name__}: {' '.join(str(error).split())}"


def main() -> None:
    print(
        f"mlx {metadata.version('mlx')}, mlx-lm {metadata.version('mlx-lm')}, float32, {mx.default_device()}"
    )
    for kind in CONFIGS:
        print(f"{kind:12} {verdict(kind)}", flush=True)


if __name__ == "__main__":
    main()
