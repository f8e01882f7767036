"""Checkpoints of a few hundred kilobytes with random weights, of every architecture and quantization.

A checkpoint's name says what it is: `llama`, `llama+tied` (a variant), `llama@4bit` (quantized). The
weights are drawn again, larger, until a change of a prompt's first letter is felt 300 tokens later: a model
that forgets is no witness of what a cache holds. A character is a token, so texts and tokens are one to one
and a second turn really continues what the caches hold.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.utils import _get_classes, quantize_model, save_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tools.architectures import configs
from tools.architectures.configs import VOCABULARY, Config

END, START = 128, 129  # tokens
SPECIAL = {"<|im_end|>": END, "<|im_start|>": START, "<|pad|>": 130, "<|unused|>": 131}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GAINS = (1.5, 2.5, 4.0, 6.0)  # of weights, beside 1/sqrt(their inputs)
FELT = 0.05  # difference of a log-probability, by which a changed first letter must show
FELT_TOKENS = 300
DECAYS, SLOWER = ("A_log",), 5.0  # logarithms of how fast a state forgets, which is within 10 tokens at first

_MIXED = "mixed"
QUANTIZATIONS: dict[str, Config] = {
    **{f"{bits}bit": {"bits": bits, "group_size": 32} for bits in (2, 3, 4, 5, 6, 8)},
    "4bit-64": {"bits": 4, "group_size": 64},
    _MIXED: {"bits": 4, "group_size": 32},
    **{mode: {"bits": None, "group_size": None, "mode": mode} for mode in ("mxfp4", "mxfp8", "nvfp4")},
}
DTYPES = {"bf16": mx.bfloat16, "f16": mx.float16}
QUANTIZED = (
    *(f"llama@{how}" for how in (*QUANTIZATIONS, *DTYPES, "4bit-bf16", "mxfp4-bf16")),
    "qwen2@4bit", "qwen3@4bit-bf16", "gemma3_text@4bit", "gemma3_text@bf16", "gemma4@4bit", "gemma4@bf16",
    "qwen3_moe@4bit", "qwen3_moe@bf16", "gpt_oss@mxfp4", "gpt_oss@mxfp4-bf16", "gpt_oss@bf16",
    "deepseek_v3@4bit", "deepseek_v3@bf16", "mixtral@nvfp4", "mamba2@4bit", "lfm2@8bit", "qwen3_5@4bit",
    "qwen3_next@4bit", "qwen3_next@bf16", "granitemoehybrid@bf16", "nemotron_h@bf16", "kimi_linear@4bit",
)  # fmt: skip


def names() -> list[str]:
    return [*configs.types(), *configs.VARIANTS, *QUANTIZED]


def make(folder: Path, name: str) -> float:
    """The checkpoint as a folder; how much a changed first letter is felt."""
    shape, _, how = name.partition("@")
    config = configs.config(shape)
    mx.random.seed(zlib.crc32(shape.encode()))
    model_class, arguments = _get_classes(config)
    model = model_class(arguments.from_dict(config))
    felt = _draw(model)
    if how:
        config = _quantized(model, config, how)
    save_model(folder, model)
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": END}))
    _write_tokenizer(folder)
    return felt


def _draw(model: nn.Module) -> float:
    beginning = dict(tree_flatten(model.parameters()))
    tried: dict[float, dict[str, mx.array]] = {}
    for gain in GAINS:
        drawn = {path: _drawn(path, array, gain) for path, array in beginning.items()}
        model.update(tree_unflatten(list(drawn.items())))
        felt = _felt(model)
        if math.isfinite(felt):
            tried[felt] = drawn
        if felt >= FELT and math.isfinite(felt):
            break
    felt = max(tried)
    model.update(tree_unflatten(list(tried[felt].items())))
    return felt


def _drawn(path: str, array: mx.array, gain: float) -> mx.array:
    if not mx.issubdtype(array.dtype, mx.floating) or path.endswith("dt_bias"):
        return array
    if path.endswith(DECAYS):
        return array - SLOWER
    if array.ndim < 2:
        return array + 0.1 * mx.random.normal(array.shape)
    if array.shape[0] == VOCABULARY:
        drawn = 0.3 * mx.random.normal(array.shape)
        return mx.concatenate([drawn[:END], 0.1 * drawn[END:]])  # special tokens are hardly ever said
    inputs = array.shape[-1] if array.shape[-1] > 1 else math.prod(array.shape[1:])
    return gain / math.sqrt(inputs) * mx.random.normal(array.shape)


def _felt(model: nn.Module) -> float:
    tokens = [(7 * i + i * i // 5) % END for i in range(FELT_TOKENS)]
    answers = []
    for first in (tokens[0], tokens[0] + 1):
        logits = model(mx.array([[first, *tokens[1:]]]))[0, -1].astype(mx.float32)
        answers.append(logits - mx.logsumexp(logits))
    return float(mx.abs(answers[0] - answers[1])[:END].max())


def _quantized(model: nn.Module, config: Config, how: str) -> Config:
    """Weights in `model` change; the configuration that says so. `how`: "bf16", "4bit" or "4bit-bf16"."""
    quantization, _, dtype = how.rpartition("-") if how.endswith(tuple(DTYPES)) else (how, "", "")
    if dtype:
        model.set_dtype(DTYPES[dtype])
    if not quantization:
        return config
    _, changed = quantize_model(
        model, config, **QUANTIZATIONS[quantization], quant_predicate=_mix if quantization == _MIXED else None
    )
    return dict(changed)


def _mix(path: str, module: Any) -> bool | Config:
    """Every second layer in 8 bits, as mlx-lm's mixed recipes have it."""
    return {"bits": 8, "group_size": 32} if ".1." in path or "lm_head" in path else hasattr(module, "weight")


def _write_tokenizer(folder: Path) -> None:
    vocabulary = {_letter(byte): byte for byte in range(END)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|pad|>",
        "chat_template": TEMPLATE, "model_max_length": configs.CONTEXT,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def _letter(byte: int) -> str:
    """How a byte-level tokenizer writes it: what cannot be printed has letters from U+0100 on."""
    if 0x21 <= byte <= 0x7E:
        return chr(byte)
    return chr(0x100 + byte) if byte <= 0x20 else chr(0x121)  # 0x7F
