"""Tiny checkpoints of architectures that mlx-lm computes in other ways than llama's."""

from __future__ import annotations

from pathlib import Path

import tiny_chat

_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_NAS_ATTENTION = {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.0}}
_NAS_NOTHING = {"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 1.0}}

CONFIGS = {
    "gemma2": {"intermediate_size": 96, "head_dim": 16, "rms_norm_eps": 1e-6},
    "mamba": {
        "intermediate_size": 128, "state_size": 8, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True,
        "time_step_rank": 4,
    },
    "jamba": {
        "intermediate_size": 96, "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1,
        "expert_layer_period": 2, "mamba_d_conv": 4, "mamba_d_state": 8, "mamba_expand": 2, "num_experts": 2,
        "num_experts_per_tok": 1, "rms_norm_eps": 1e-6,
    },
    "nemotron_h": {
        "num_hidden_layers": None, "intermediate_size": 96, "attention_bias": False, "mamba_num_heads": 4,
        "mamba_head_dim": 16, "mamba_proj_bias": False, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 1,
        "mlp_bias": False, "layer_norm_epsilon": 1e-5, "use_bias": False, "use_conv_bias": True,
        "hybrid_override_pattern": ["M", "*", "-"], "head_dim": 16,
    },
    "gpt_bigcode": {
        "n_embd": 64, "n_layer": 2, "n_inner": 96, "n_head": 4, "n_positions": 512,
        "layer_norm_epsilon": 1e-5, "max_position_embeddings": None, "num_key_value_heads": None,
    },
    "afm7": {"hidden_dim": 64, "num_layers": 3, "num_kv_reuse_layers": 2, "num_heads": 4, "num_kv_heads": 2},
    "llama4": {
        "text_config": {
            "attention_bias": False, "attention_chunk_size": 48, "head_dim": 16, "hidden_size": 64,
            "interleave_moe_layer_step": 2, "intermediate_size": 64, "intermediate_size_mlp": 96,
            "max_position_embeddings": 4096, "model_type": "llama4_text", "num_experts_per_tok": 1,
            "num_hidden_layers": 4, "num_local_experts": 2, "rms_norm_eps": 1e-5, "rope_scaling": None,
            "rope_theta": 10000.0, "use_qk_norm": False, "vocab_size": tiny_chat.VOCABULARY, **_HEADS,
        },
    },
    "nemotron-nas": {
        "num_hidden_layers": 3, "block_configs": [_NAS_ATTENTION, _NAS_NOTHING, _NAS_ATTENTION],
        "rope_theta": 10000.0,
    },
    "deepseek_v41": {
        "head_dim": 32, "q_lora_rank": 32, "qk_rope_head_dim": 16, "o_groups": 2, "o_lora_rank": 16,
        "moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "rms_norm_eps": 1e-6,
        "sliding_window": 16, "compress_ratios": [1, 4], "kv_source_layer_ids": [0, 1],
        "index_source_layer_ids": [0, 1], "candidate_topk_blocks": 4, "candidate_block_size": 2,
        "index_n_heads": 2, "index_head_dim": 16, "index_topk": 8, "hc_mult": 2, "hc_sinkhorn_iters": 2,
    },
    "minimax_m3_vl": {
        "text_config": {
            "hidden_size": 64, "intermediate_size": 32, "dense_intermediate_size": 64,
            "shared_intermediate_size": 32, "num_hidden_layers": 2, "num_local_experts": 2,
            "num_experts_per_tok": 1, "head_dim": 16, "vocab_size": tiny_chat.VOCABULARY, **_HEADS,
            "mlp_layer_types": ["dense", "sparse"],
            "layer_types": ["full_attention", "minimax_m3_sparse"],
            "index_n_heads": 2, "index_head_dim": 16, "index_block_size": 8, "index_topk_blocks": 2,
        },
    },
    "qwen2_moe": {
        "intermediate_size": 96, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32, "rms_norm_eps": 1e-6,
    },
    "qwen3_next": {
        "intermediate_size": 96, "linear_num_value_heads": 2, "linear_num_key_heads": 1,
        "linear_key_head_dim": 32, "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "num_experts": 4,
        "num_experts_per_tok": 2, "decoder_sparse_step": 1, "shared_expert_intermediate_size": 32,
        "mlp_only_layers": [], "moe_intermediate_size": 32, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5, "head_dim": 16, "full_attention_interval": 2,
    },
    "gemma3n": {
        "text_config": {
            "model_type": "gemma3n_text", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
            "head_dim": 16, "rms_norm_eps": 1e-6, "vocab_size": tiny_chat.VOCABULARY, **_HEADS,
            "num_kv_shared_layers": 0, "vocab_size_per_layer_input": tiny_chat.VOCABULARY,
            "sliding_window": 32, "max_position_embeddings": 4096, "rope_local_base_freq": 10000.0,
            "rope_theta": 10000.0, "final_logit_softcapping": 30.0,
            "layer_types": ["sliding_attention", "full_attention"], "activation_sparsity_pattern": [0.0, 0.0],
            "hidden_size_per_layer_input": 16, "altup_num_inputs": 2, "altup_coef_clip": 120.0,
            "altup_correct_scale": True, "altup_active_idx": 0, "laurel_rank": 8,
        },
    },
    "lille-130m": {
        "block_size": 2048, "layer_norm_eps": 1e-5, "n_embd": 64, "n_head": 4, "n_kv_heads": 2, "n_layer": 2,
        "rope_theta": 10000.0, "max_position_embeddings": None,
    },
    "lfm2-vl": {
        "text_config": {
            "model_type": "lfm2", "hidden_size": 64, "num_hidden_layers": 2, **tiny_chat.CONFIGS["lfm2"],
            "vocab_size": tiny_chat.VOCABULARY, "max_position_embeddings": 4096, **_HEADS,
            "rope_theta": 10000.0,
        },
    },
    "xverse": tiny_chat.CONFIGS["llama"],
    "qwen2_5_vl": {
        "text_config": {
            "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
            "rms_norm_eps": 1e-6, "vocab_size": tiny_chat.VOCABULARY, "max_position_embeddings": 4096,
            **_HEADS,
        },
    },
}  # fmt: skip


def folder(path: Path, kind: str, *, seed: int = 0) -> Path:
    return tiny_chat.folder(path, kind, seed=seed, config=CONFIGS[kind])
