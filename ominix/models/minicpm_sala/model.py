"""MiniCPM-SALA: lightning (linear) and block-sparse softmax layers in turn, scaled the muP way.

After the modelling code of openbmb/MiniCPM-SALA, whose names the attributes bear. The interface is
mlx-lm's: Model, ModelArgs, make_cache, sanitize.
Knows nothing about files and tokens' meaning.
"""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models.activations import swiglu

from ominix.models.minicpm_sala.cache import LightningCache, SparseCache
from ominix.models.minicpm_sala.config import SPARSE, ModelArgs
from ominix.models.minicpm_sala.lightning import LightningAttention
from ominix.models.minicpm_sala.sparse import SparseAttention

Cache = LightningCache | SparseCache


class MLP(nn.Module):
    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        dim, hidden = args.hidden_size, args.intermediate_size
        self.gate_proj = nn.Linear(dim, hidden, bias=False)
        self.up_proj = nn.Linear(dim, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, dim, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))


class DecoderLayer(nn.Module):
    def __init__(self, args: ModelArgs, mixer_type: str) -> None:
        super().__init__()
        mixer = SparseAttention if mixer_type == SPARSE else LightningAttention
        self.self_attn = mixer(args)
        self.mlp = MLP(args)
        self.input_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)
        self.residual_scale = args.scale_depth / math.sqrt(args.num_hidden_layers)

    def __call__(self, h: mx.array, cache: Any) -> mx.array:  # Any: of the mixer's own kind
        h = h + self.residual_scale * self.self_attn(self.input_layernorm(h), cache)
        return h + self.residual_scale * self.mlp(self.post_attention_layernorm(h))


class MiniCPMSALAModel(nn.Module):
    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.scale_emb = args.scale_emb
        self.embed_tokens = nn.Embedding(args.vocab_size, args.hidden_size)
        self.layers = [DecoderLayer(args, mixer_type) for mixer_type in args.mixer_types]
        self.norm = nn.RMSNorm(args.hidden_size, eps=args.rms_norm_eps)

    def __call__(self, tokens: mx.array, cache: list[Cache]) -> mx.array:
        h: mx.array = self.embed_tokens(tokens) * self.scale_emb
        for layer, layer_cache in zip(self.layers, cache, strict=True):
            h = layer(h, layer_cache)
        normed: mx.array = self.norm(h)
        return normed


class Model(nn.Module):
    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.args = args
        self.model_type = args.model_type
        self.logit_divisor = args.hidden_size / args.dim_model_base
        self.model = MiniCPMSALAModel(args)
        self.lm_head = nn.Linear(args.hidden_size, args.vocab_size, bias=False)

    def __call__(self, inputs: mx.array, cache: list[Cache] | None = None) -> mx.array:
        """inputs (B, T) -> float32 logits (B, T, V). Without a cache this is the whole text."""
        return self.logits(self.model(inputs, self.make_cache() if cache is None else cache))

    def logits(self, h: mx.array) -> mx.array:
        """h (B, T, hidden) after the last norm -> float32 (B, T, V)."""
        return self.lm_head(h / self.logit_divisor).astype(mx.float32)

    def make_cache(self) -> list[Cache]:
        """One cache per layer, for a single sequence or a batch of equal length."""
        return [
            SparseCache(self.args.sparse) if mixer_type == SPARSE else LightningCache()
            for mixer_type in self.args.mixer_types
        ]

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        """Drops rotary tables, should a checkpoint carry them: they are computed."""
        return {name: w for name, w in weights.items() if "rotary_emb." not in name}

    @property
    def layers(self) -> list[DecoderLayer]:
        return self.model.layers
