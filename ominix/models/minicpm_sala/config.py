"""The fields of MiniCPM-SALA's config.json that the forward pass reads.

Refuses what the released model does not use and this package does not compute.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from mlx_lm.models.base import BaseModelArgs

LIGHTNING = ("lightning", "lightning_attn", "lightning-attn")
SPARSE = "minicpm4"


@dataclass(frozen=True)
class SparseConfig:
    """InfLLM-v2 block selection: lengths in tokens, init_blocks and topk in blocks."""

    kernel_size: int = 32
    kernel_stride: int = 16
    init_blocks: int = 1
    block_size: int = 64
    window_size: int = 2048
    topk: int = 64
    dense_len: int = sys.maxsize  # a config without sparse_config never leaves dense attention

    def __post_init__(self) -> None:
        if self.kernel_size != 2 * self.kernel_stride:
            raise ValueError("sparse_config: kernel_size must be twice kernel_stride")
        if self.block_size % self.kernel_stride or self.window_size % self.block_size:
            raise ValueError(
                "sparse_config: kernel_stride must divide block_size, and block_size window_size"
            )
        if self.selected_blocks < self.init_blocks + self.local_blocks + 1:
            raise ValueError("sparse_config: topk is too small for the blocks that are always read")
        if self.selected_tokens < 8 * self.kernel_stride:
            raise ValueError("sparse_config: topk is too small for the coarse compressed keys")

    @property
    def local_blocks(self) -> int:
        """Blocks before a token's own one that it always reads."""
        return self.window_size // self.block_size

    @property
    def selected_blocks(self) -> int:
        """Blocks a token reads in all: the local ones come on top of topk."""
        return self.topk + self.local_blocks

    @property
    def selected_tokens(self) -> int:
        """So many tokens, and a token up to here reads all before it: sparse equals dense."""
        return self.selected_blocks * self.block_size


@dataclass
class ModelArgs(BaseModelArgs):
    """config.json, by its own names. Raises ValueError for what the forward pass does not do."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    mixer_types: list[str]
    head_dim: int = 128
    lightning_nh: int | None = None
    lightning_nkv: int | None = None
    lightning_head_dim: int | None = None
    lightning_scale: str = "1/sqrt(d)"
    lightning_use_rope: bool = True
    attn_use_rope: bool = False
    qk_norm: bool = True
    use_output_gate: bool = True
    use_output_norm: bool = True
    attn_use_output_gate: bool = True
    attention_bias: bool = False
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None  # how transformers 5 saves the two above
    scale_emb: float = 12
    scale_depth: float = 1.4
    dim_model_base: int = 256
    tie_word_embeddings: bool = False
    sparse_config: dict[str, Any] | None = None
    sparse: SparseConfig = field(init=False)

    def __post_init__(self) -> None:
        rope = self.rope_parameters or {}
        self.rope_theta = rope.get("rope_theta", self.rope_theta)
        if rope.get("rope_type", "default") != "default":
            self.rope_scaling = rope
        known = SparseConfig.__dataclass_fields__
        self.sparse = SparseConfig(**{k: v for k, v in (self.sparse_config or {}).items() if k in known})
        self._refuse_what_is_not_computed()

    @property
    def lightning_heads(self) -> tuple[int, int, int]:
        """Of a lightning layer: query heads, key and value heads, head size."""
        return (
            self.lightning_nh or self.num_attention_heads,
            self.lightning_nkv or self.num_key_value_heads,
            self.lightning_head_dim or self.head_dim,
        )

    def _refuse_what_is_not_computed(self) -> None:
        unknown = set(self.mixer_types) - {SPARSE, *LIGHTNING}
        faults = {
            f"mixer_types {sorted(unknown)}": bool(unknown),
            "mixer_types of another length than num_hidden_layers": (
                len(self.mixer_types) != self.num_hidden_layers
            ),
            "attn_use_rope": self.attn_use_rope,
            "rope_scaling": self.rope_scaling is not None,
            f"hidden_act {self.hidden_act!r}": self.hidden_act != "silu",
            "tie_word_embeddings": self.tie_word_embeddings,
        }
        found = [name for name, present in faults.items() if present]
        if found:
            raise ValueError(f"minicpm_sala does not compute {', '.join(found)}")
