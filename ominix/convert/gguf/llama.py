"""The llama architecture: GGUF's names, sizes and row order turned into those of mlx-lm's llama."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from ominix.convert.gguf.container import Container
from ominix.errors import InvalidRequest

GROUP = 32  # weights that share a scale and a bias, in ggml's blocks

_OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def config(container: Container) -> dict[str, Any]:
    """config.json as mlx-lm reads it. Raises InvalidRequest for what its llama cannot compute."""
    architecture = container.metadata.get("general.architecture")
    if architecture != "llama":
        raise InvalidRequest(f"the GGUF architecture is {architecture!r}; supported is 'llama'")
    if _key(container, "expert_count", 0):
        raise InvalidRequest("the GGUF file holds a mixture of experts, which is not supported")
    if _key(container, "rope.scaling.type", "none") != "none":
        raise InvalidRequest("the GGUF file scales its rotary positions, which is not supported")
    hidden, heads = _key(container, "embedding_length"), _key(container, "attention.head_count")
    if not isinstance(heads, int) or not heads or not isinstance(hidden, int) or hidden % heads:
        raise InvalidRequest(f"the GGUF file has {heads} attention heads for {hidden} channels")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": _key(container, "block_count"),
        "intermediate_size": _key(container, "feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": _key(container, "attention.head_count_kv", heads),
        "head_dim": _key(container, "rope.dimension_count", hidden // heads),
        "max_position_embeddings": _key(container, "context_length"),
        "rms_norm_eps": _key(container, "attention.layer_norm_rms_epsilon"),
        "rope_theta": _key(container, "rope.freq_base", 10000.0),
        "vocab_size": len(container.metadata.get("tokenizer.ggml.tokens", ())),
        "attention_bias": "blk.0.attn_q.bias" in container.tensors,
        "tie_word_embeddings": "output.weight" not in container.tensors,
        "bos_token_id": container.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": container.metadata.get("tokenizer.ggml.eos_token_id"),
        **_quantization(container),
    }


def weights(arrays: Mapping[str, mx.array], config: dict[str, Any]) -> dict[str, mx.array]:
    """A file's arrays, of which the quantized ones are three, under mlx-lm's names."""
    found: dict[str, mx.array] = {}
    for name, array in arrays.items():
        if ".attn_q." in name or ".attn_k." in name:
            heads = config["num_attention_heads" if "_q." in name else "num_key_value_heads"]
            array = _halves_apart(array, heads)
        stem, _, part = name.rpartition(".")
        found[f"{_module(stem)}.{part}"] = array
    return found


def _key(container: Container, name: str, default: Any = None) -> Any:
    value = container.metadata.get(f"llama.{name}", default)
    if value is None:
        raise InvalidRequest(f"the GGUF file does not say llama.{name}")
    return value


def _module(stem: str) -> str:
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if stem in _OUTSIDE:
        return _OUTSIDE[stem]
    if layer and layer[2] in _IN_LAYER:
        return f"model.layers.{layer[1]}.{_IN_LAYER[layer[2]]}"
    raise InvalidRequest(f"the GGUF file has a tensor {stem!r} that no supported model has")


def _quantization(container: Container) -> dict[str, Any]:
    """The commonest width for all, others layer by layer. Raises InvalidRequest for an unknown tensor."""
    quantized: dict[str, int] = {}
    for name, tensor in container.tensors.items():
        stem, _, part = name.rpartition(".")
        module = _module(stem if part in ("weight", "bias") else name)
        if tensor.type.bits:
            quantized[module] = tensor.type.bits
    if not quantized:
        return {}
    common = max(quantized.values(), key=list(quantized.values()).count)
    others = {
        module: {"group_size": GROUP, "bits": bits} for module, bits in quantized.items() if bits != common
    }
    return {"quantization": {"group_size": GROUP, "bits": common, **others}}


def _halves_apart(rows: mx.array, heads: int) -> mx.array:
    """GGUF rotates neighbouring rows of a head together, mlx-lm those half a head apart.

    (heads * head_dim, ...) in and out; undoes `permute` of llama.cpp's convert_hf_to_gguf.py.
    """
    if heads <= 0 or rows.shape[0] % (2 * heads):
        raise InvalidRequest(f"{rows.shape[0]} rows do not make {heads} attention heads")
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)
