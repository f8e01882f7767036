"""Small configurations of mlx-lm's architectures, as facts.

`SIZES` are given to every architecture that knows the field, `REQUIRED` where the field has no default, and
`ROWS` says what an architecture needs beyond that. An architecture without a row is tried with these alone.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

from mlx_lm.utils import MODEL_REMAPPING

from ominix.families import mlx_lm

Config = dict[str, Any]

VOCABULARY = 132  # a token for each ASCII character, and four of the template's
WINDOW = 24
CONTEXT = 4096

SIZES: Config = {
    "vocab_size": VOCABULARY, "num_vocab": VOCABULARY, "hidden_size": 64, "hidden_dim": 64, "d_model": 64,
    "model_dim": 64, "n_embd": 64, "num_hidden_layers": 4, "num_layers": 4, "n_layers": 4, "n_layer": 3,
    "intermediate_size": 128, "num_attention_heads": 4, "num_heads": 4, "n_heads": 4, "n_head": 4,
    "num_key_value_heads": 2, "num_kv_heads": 2, "n_kv_heads": 2, "head_dim": 16,
    "max_position_embeddings": CONTEXT, "n_positions": CONTEXT, "n_ctx": CONTEXT, "block_size": CONTEXT,
    "sliding_window": WINDOW, "moe_intermediate_size": 64, "moe_shared_expert_intermediate_size": 64,
    "n_routed_experts": 4, "num_experts": 4, "num_local_experts": 4, "n_shared_experts": 1,
    "num_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "kv_lora_rank": 32, "q_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "n_group": 1, "topk_group": 1, "index_head_dim": 32, "index_n_heads": 2, "index_topk": 16,
}  # fmt: skip

REQUIRED: Config = {
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "attention_bias": False, "tie_word_embeddings": False,
    "norm_topk_prob": True, "routed_scaling_factor": 1.0, "layer_norm_epsilon": 1e-5, "layer_norm_eps": 1e-5,
    "partial_rotary_factor": 0.5, "use_bias": False, "mlp_bias": False, "use_qk_norm": True, "norm_eps": 1e-5,
    "mlp_only_layers": [], "decoder_sparse_step": 1, "rope_scaling": None, "logits_scaling": 1.0,
    "attention_multiplier": 0.25, "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "moe_topk": 2,
    "conv_kernel": 4, "use_conv_bias": True, "layer_group_size": 2, "group_norm_size": 2,
    "final_logit_softcapping": 30.0, "topk_method": "noaux_tc", "scoring_func": "sigmoid",
    "conv_bias": False, "conv_L_cache": 3, "intermediate_size_mlp": 128, "ffn_hidden_size": 128,
    "expert_ffn_hidden_size": 64, "zero_expert_num": 2, "zero_expert_type": "identity",
    "mla_scale_q_lora": True, "mla_scale_kv_lora": True, "state_size": 16, "time_step_rank": 4, "n_groups": 1,
    "dim_model_base": 64, "scale_depth": 1.4, "scale_emb": 1.0, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32,
    "linear_conv_kernel_dim": 4, "shared_expert_intermediate_size": 64, "use_qkv_bias": False,
    "post_norm": False, "qk_norm": True, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "time_step_limit": [0.001, 100.0], "hidden_act": "relu2", "use_expert_bias": True, "num_dense_layers": 1,
    "shared_intermediate_size": 128, "rotary_dim": 16, "sliding_window_pattern": 2,
}  # fmt: skip

_ALTERNATE = ["sliding_attention", "full_attention"] * 2
_THREE_OF_FOUR = ["sliding_attention"] * 3 + ["full_attention"]
_MLA: Config = {"num_key_value_heads": 4}
_LINEAR = ["linear_attention", "full_attention"] * 2
_LFM2: Config = {
    "layer_types": ["conv", "full_attention"] * 2, "block_dim": 64, "block_multiple_of": 16,
    "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "block_ff_dim": 128,
}  # fmt: skip
_KDA: Config = {
    "linear_attn_config": {
        "kda_layers": [1, 3], "full_attn_layers": [2, 4], "num_heads": 4, "head_dim": 16,
        "short_conv_kernel_size": 4,
    },
    "model_max_length": CONTEXT, "num_experts_per_token": 2, "num_key_value_heads": 4, "q_lora_rank": None,
}  # fmt: skip
_LONGCAT: Config = {"num_layers": 3, "attention_method": "MLA"}
_BIG_LLAMA_ROPE: Config = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
_YARN: Config = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
_NAS = [
    {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 2.0}},
    {"attention": {"no_op": True}, "ffn": {"ffn_mult": 2.0}},
    {"attention": {"n_heads_in_group": 2}, "ffn": {"replace_with_linear": True}},
    {"attention": {"n_heads_in_group": 2}, "ffn": {"no_op": True}},
]

# What an architecture needs beyond the above. "text": the type of its language model's configuration.
ROWS: dict[str, Config] = {
    "Klear": {"n_shared_experts": 1},
    "afm7": {"num_layers": 4, "num_kv_reuse_layers": 2, "hidden_dim_scale_factor": 2.0},
    "afmoe": {"layer_types": _THREE_OF_FOUR},
    "baichuan_m1": {"num_hidden_layers": 4, "sliding_window_layers": [0, 2], "conv_window": 2},
    "bailing_hybrid": _MLA | {"num_key_value_heads": 4},
    "bailing_moe_v3": {"layer_group_size": 2},
    "cohere2": {"sliding_window_pattern": 2},
    "dbrx": {
        "n_layers": 3,
        "ffn_config": {"ffn_hidden_size": 128, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "max_seq_len": CONTEXT,
    },
    "deepseek": _MLA,
    "deepseek_v2": _MLA | {"topk_method": "group_limited_greedy", "rope_scaling": _YARN},
    "deepseek_v3": _MLA,
    "deepseek_v32": _MLA,
    "deepseek_v41": {
        "num_hidden_layers": 2, "head_dim": 32, "o_groups": 2, "o_lora_rank": 16, "rms_norm_eps": 1e-6,
        "compress_ratios": [1, 4], "kv_source_layer_ids": [0, 1], "index_source_layer_ids": [0, 1],
        "candidate_topk_blocks": 4, "candidate_block_size": 2, "index_head_dim": 16, "index_topk": 8,
        "hc_mult": 2, "hc_sinkhorn_iters": 2,
    },
    "dots1": {"scoring_func": "noaux_tc"},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_layer_start_index": 1, "moe_k": 2},
    "exaone4": {"sliding_window_pattern": "LLLG", "layer_types": _THREE_OF_FOUR, "tie_word_embeddings": True},
    "exaone_moe": {"layer_types": _THREE_OF_FOUR, "is_moe_layer": [False, True, True, True]},
    "falcon_h1": {
        "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_d_state": 16, "mamba_n_heads": 4,
        "embedding_multiplier": 1.0, "lm_head_multiplier": 1.0, "key_multiplier": 1.0,
    },
    "gear": {"layer_types": ["conv_mixer", "sliding_attention", "conv_mixer", "full_attention"]},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": {"text": "gemma3_text"},
    "gemma3_text": {"sliding_window_pattern": 2, "query_pre_attn_scalar": 16},
    "gemma3n": {
        "text": "gemma3n", "text_config": {
            "model_type": "gemma3n_text", "num_hidden_layers": 2, "num_kv_shared_layers": 0,
            "vocab_size_per_layer_input": VOCABULARY, "rope_local_base_freq": 10000.0,
            "layer_types": ["sliding_attention", "full_attention"], "activation_sparsity_pattern": [0.0, 0.0],
            "hidden_size_per_layer_input": 16, "altup_num_inputs": 2, "altup_coef_clip": 120.0,
            "altup_correct_scale": True, "altup_active_idx": 0, "laurel_rank": 8,
        },
    },
    "gemma4": {"text": "gemma4_text"},
    "gemma4_text": {
        "global_head_dim": 32, "vocab_size_per_layer_input": VOCABULARY, "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 16, "layer_types": _ALTERNATE, "num_global_key_value_heads": 1,
    },
    "glm4": {"num_key_value_heads": 2},
    "glm4_moe_lite": _MLA | {"num_nextn_predict_layers": 0},
    "glm_moe_dsa": _MLA,
    "gpt_bigcode": {"n_inner": 128, "num_key_value_heads": None},
    "gpt2": {"num_key_value_heads": None},
    "gptj": {"rotary_dim": 8},
    "gpt_neox": {"num_key_value_heads": None, "rotary_emb_base": 10000, "rotary_pct": 0.5},
    "gpt_oss": {"intermediate_size": 64, "layer_types": _ALTERNATE},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"] * 2, "mamba_n_heads": 4, "mamba_d_head": 32,
        "mamba_proj_bias": False, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_n_groups": 1,
        "mamba_conv_bias": True, "shared_intermediate_size": 128,
    },
    "hunyuan": {
        "num_shared_expert": 1, "use_mixed_mlp_moe": True, "use_cla": True, "cla_share_factor": 2,
        "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
    },
    "hunyuan_v1_dense": {"rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
    "iquestloopcoder": {"loop_num": 2, "loop_window_size": WINDOW},
    "jamba": {
        "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2,
        "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2,
    },
    "kimi_k25": {"text": "deepseek_v3"},
    "kimi_k3": {"text": "kimi_k3", "text_config": _KDA | {
        "model_type": "kimi_linear", "activation_situ_beta": 1.0, "activation_situ_linear_beta": 1.0,
        "attn_res_block_size": 2,
    }},
    "kimi_linear": _KDA,
    "kimi_vl": {"text": "kimi_vl", "text_config": _MLA | {"model_type": "deepseek_v3"}},
    "laguna": {
        "layer_types": _THREE_OF_FOUR, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        "num_attention_heads_per_layer": [4] * 4, "partial_rotary_factor": 0.5,
        "rope_parameters": {
            "full_attention": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        },
    },
    "lfm2": _LFM2,
    "lfm2-vl": {"text": "lfm2"},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "lille-130m": {"n_layer": 3},
    "llama4": {"text": "llama4", "text_config": {
        "model_type": "llama4_text", "attention_chunk_size": WINDOW, "interleave_moe_layer_step": 2,
        "num_experts_per_tok": 1,
    }},
    "llama4_text": {"no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": _LONGCAT,
    "longcat_flash_ngram": _LONGCAT | {
        "ngram_vocab_size_ratio": 3, "emb_neighbor_num": 2, "emb_split_num": 2,
    },
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "mellum": {"layer_types": _THREE_OF_FOUR, "rope_parameters": {
        "full_attention": {"rope_theta": 10000.0}, "sliding_attention": {"rope_theta": 10000.0},
    }},
    "mimo": {"num_nextn_predict_layers": 0},
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [0, 1, 0, 1], "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False,
        "sliding_window_size": WINDOW, "layernorm_epsilon": 1e-5, "swa_rope_theta": 10000.0,
        "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16, "swa_v_head_dim": 16,
    },
    "minicpm3": {"num_key_value_heads": 4, "rope_scaling": {
        "type": "longrope", "long_factor": [1.5] * 8, "short_factor": [1.0] * 8,
        "original_max_position_embeddings": 64,
    }},
    "minimax_m3_vl": {"text": "minimax_m3_vl", "text_config": {
        "model_type": "minimax_m3_text", "intermediate_size": 64, "dense_intermediate_size": 128,
        "shared_intermediate_size": 64, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
        "layer_types": ["full_attention"] + ["minimax_m3_sparse"] * 3,
        "index_block_size": 8, "index_topk_blocks": 2, "index_head_dim": 16,
    }},
    "ministral3": {"layer_types": _THREE_OF_FOUR, "rope_parameters": {
        "rope_theta": 10000.0, "rope_type": "default", "llama_4_scaling_beta": 0.1,
        "original_max_position_embeddings": 64,
    }},
    "mistral3": {"text": "llama"},
    "mistral4": _MLA | {"rope_parameters": {
        "rope_theta": 10000.0, "rope_type": "default", "llama_4_scaling_beta": 0.1,
        "original_max_position_embeddings": 64,
    }},
    "muse_glimmer": {
        "layer_types": _THREE_OF_FOUR, "layer_rope_theta": [10000.0] * 4, "output_multiplier": 1.0,
    },
    "muse_spark": {"text": "muse_spark", "text_config": {
        "layer_types": _THREE_OF_FOUR, "layer_rope_theta": [10000.0] * 4, "output_multiplier": 1.0,
        "post_norm_eps": 1e-8, "moe_hidden_size": 64, "num_shared_experts": 0,
    }},
    "nanbeige": {"num_loops": 2},
    "nanochat": {"num_key_value_heads": 4},
    "nemotron-nas": {"block_configs": _NAS, "hidden_act": "silu"},
    "nemotron_h": {
        "hybrid_override_pattern": ["M", "*", "M", "-"], "mamba_num_heads": 4, "mamba_head_dim": 16,
        "mamba_proj_bias": False, "ssm_state_size": 16, 
    },
    "olmo3": {"layer_types": _THREE_OF_FOUR},
    "olmo_hybrid": {"layer_types": _LINEAR, "linear_allow_neg_eigval": True, "linear_num_key_heads": 4},
    "olmo": {"mlp_hidden_size": 128, "embedding_size": VOCABULARY},
    "openelm": {
        "num_transformer_layers": 3, "ffn_dim_divisor": 16, "num_query_heads": [4, 4, 4],
        "num_kv_heads": [2, 2, 2], "ffn_multipliers": [1.0, 1.5, 2.0],
    },
    "phi": {"num_key_value_heads": 4},
    "phi3small": {
        "dense_attention_every_n_layers": 2, "ff_intermediate_size": 128, "gegelu_limit": 20.0,
        "mup_width_multiplier": 1.0, "mup_embedding_multiplier": 1.0,
    },
    "phimoe": {"rope_scaling": {
        "type": "longrope", "long_factor": [1.5] * 8, "short_factor": [1.0] * 8, "long_mscale": 1.2,
        "short_mscale": 1.0, "original_max_position_embeddings": 64,
    }, "original_max_position_embeddings": 64},
    "phixtral": {"num_layers": 3, "rotary_dim": 8},
    "pixtral": {"text": "llama"},
    "plamo": {"n_shared_head": 2},
    "plamo2": {"hidden_size_per_head": 16, "mamba_num_heads": 4, "mamba_d_state": 16},
    "plamo3": {"sliding_window_pattern": 2, "window_size": WINDOW},
    "qwen": {"kv_channels": 16, "intermediate_size": 256},
    "qwen2_vl": {"text": "qwen2"},
    "qwen3": {"rope_theta": 10000.0},
    "qwen3_5": {"text": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_text", "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 32, "linear_value_head_dim": 32, "full_attention_interval": 2,
        "num_experts": 0, "num_experts_per_tok": 0, "moe_intermediate_size": 0,
    }},
    "qwen3_5_moe": {"text": "qwen3_5", "text_config": {
        "model_type": "qwen3_5_moe_text", "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 32, "linear_value_head_dim": 32, "full_attention_interval": 2,
        "shared_expert_intermediate_size": 64,
    }},
    "qwen3_next": {"full_attention_interval": 2},
    "qwen3_vl": {"text": "qwen3"},
    "qwen3_vl_moe": {"text": "qwen3_moe"},
    "recurrent_gemma": {
        "conv1d_width": 4, "logits_soft_cap": 30.0, "attention_window_size": WINDOW,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "rwkv7": {
        "a_low_rank_dim": 16, "v_low_rank_dim": 16, "gate_low_rank_dim": 16, "decay_low_rank_dim": 16,
        "head_dim": 32,
    },
    "smollm3": {"no_rope_layer_interval": 2},
    "spark2_5": {"layer_types": _THREE_OF_FOUR, "rope_parameters": {
        "full_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    }},
    "step3p5": {
        "num_attention_groups": 2, "layer_types": _THREE_OF_FOUR, "moe_num_experts": 4, "moe_top_k": 2,
        "share_expert_dim": 64, "moe_layers_enum": "1,2,3",
        "attention_other_setting": {"num_attention_heads": 4, "num_attention_groups": 2},
    },
    "youtu_llm": _MLA,
}  # fmt: skip

# Other shapes of the same architectures: sizes of windows, ropes, ties.
VARIANTS: dict[str, Config] = {
    "llama+tied": {"tie_word_embeddings": True},
    "llama+bias": {"attention_bias": True, "mlp_bias": True},
    "llama+llama3-rope": {"rope_scaling": _BIG_LLAMA_ROPE},
    "llama+traditional-rope": {"rope_traditional": True},
    "llama+window-24": {"layer_types": _THREE_OF_FOUR},
    "llama+window-100": {"layer_types": _THREE_OF_FOUR, "sliding_window": 100},
    "qwen2+yarn": {"rope_scaling": _YARN},
    "phi3+longrope": {
        "rope_scaling": {
            "type": "longrope", "long_factor": [1.5] * 8, "short_factor": [1.0] * 8, "long_mscale": 1.2,
            "short_mscale": 1.0,
        },
        "original_max_position_embeddings": 64,
    },
    "gemma3_text+window-256": {"sliding_window": 256},
    "gpt_oss+window-128": {"sliding_window": 128},
    "gemma4+window-512": {"text_config": {"sliding_window": 512}},
}  # fmt: skip


def types() -> list[str]:
    """Every model type that the installed mlx-lm answers to, those it maps to another one included."""
    return sorted(mlx_lm.supported())


def config(name: str) -> Config:
    """config.json of a type or a variant ("llama+tied"). Raises ValueError for a field that nobody gave."""
    kind = name.partition("+")[0]
    more = VARIANTS.get(name, {})
    module = MODEL_REMAPPING.get(kind, kind)
    row = dict(ROWS.get(kind, ROWS.get(module, {})))
    text = row.pop("text", None)
    if text is None:
        return {**filled(_arguments(module), module, row), "model_type": kind, **more}
    inner = _arguments(text, inner=text == module)
    own = {**ROWS.get(text, {}), **row.pop("text_config", {})} if text != module else row.pop("text_config")
    made = {"model_type": text, **filled(inner, text, own), **more.get("text_config", {})}
    return {"model_type": kind, "vocab_size": VOCABULARY, **row, "text_config": made}


def _arguments(module: str, inner: bool = False) -> type:
    found = importlib.import_module(f"mlx_lm.models.{module}")
    names = ("TextArgs", "TextConfig", "TextModelArgs") if inner else ("ModelArgs",)
    return next(getattr(found, name) for name in names if hasattr(found, name))


def filled(arguments: type, kind: str, row: Config) -> Config:
    return dict(_values(arguments, kind, row)) | row


def _values(arguments: type, kind: str, row: Config) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(arguments):
        required = field.default is field.default_factory is dataclasses.MISSING
        if field.name in row or field.name == "model_type":
            continue
        if field.name in SIZES:
            yield field.name, SIZES[field.name]
        elif required and field.name in REQUIRED:
            yield field.name, REQUIRED[field.name]
        elif required:
            raise ValueError(f"nobody wrote what {field.name} of {kind} is")
