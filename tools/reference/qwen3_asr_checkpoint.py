"""Random tiny Qwen3-ASR checkpoints, made by transformers' own classes, in the three published layouts."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    Qwen2Tokenizer,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)

from ominix.models.qwen3_asr import weights

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>")
TAG = "<asr_text>"
STAMP = "<timestamp>"
CLASSES = 450  # of an aligner: 36 s
# All audio, then each text part with two stamps behind it: how the published aligners are asked.
ALIGNER_TEMPLATE = """\
{%- set parts = messages | map(attribute='content') | sum(start=[]) -%}
{%- for part in parts if part.type == 'audio' -%}
  {{- '<|audio_start|><|audio_pad|><|audio_end|>' -}}
{%- endfor -%}
{%- for part in parts if part.type == 'text' -%}
  {{- part.text + '<timestamp><timestamp>' -}}
{%- endfor -%}
"""
WORDS = (
    "system",
    "user",
    "assistant",
    "language",
    "English",
    "None",
    "Chinese",
    "你好",
    "one",
    "two",
    "three",
)


def build(folder: Path) -> Qwen3ASRForConditionalGeneration:
    """Random weights large enough that answers differ from clip to clip."""
    torch.manual_seed(3)
    tokenizer = build_tokenizer()
    config = build_config(tokenizer)
    model = Qwen3ASRForConditionalGeneration(config).eval()
    _randomise(model)
    ends = config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=config.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    return model


def build_aligner(folder: Path) -> tuple[Qwen3ASRForTokenClassification, Qwen3ASRProcessor]:
    """The same with a head over points in time, and the processor that belongs to it."""
    torch.manual_seed(4)
    tokenizer = build_tokenizer((*SPECIAL, STAMP))
    config = build_config(tokenizer)
    config.num_labels = CLASSES
    config.timestamp_token_id = tokenizer.convert_tokens_to_ids(STAMP)
    model = Qwen3ASRForTokenClassification(config).eval()
    _randomise(model)
    processor = Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), tokenizer, ALIGNER_TEMPLATE)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    return model, processor


def _randomise(model: PreTrainedModel) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel() if "embed_tokens" not in name else 1
                parameter.normal_(0, (0.1 if "embed_tokens" in name else 1.5) / fan_in**0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)


def build_tokenizer(special: tuple[str, ...] = SPECIAL) -> Qwen2Tokenizer:
    """Bytes, a few words, and the special tokens of the chat format."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([w for word in WORDS for w in (word, f" {word}")] * 2, trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    audio = {"audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}
    tokenizer = Qwen2Tokenizer(
        vocab=bpe.get_vocab(),
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens={**audio, "audio_token": "<|audio_pad|>"} if STAMP in special else None,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.add_tokens([TAG])
    return tokenizer


def build_config(tokenizer: Qwen2Tokenizer) -> Qwen3ASRConfig:
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    audio = {
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 96,
        "downsample_hidden_size": 8,
        "output_dim": 64,
    }
    text = {
        "model_type": "qwen3",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "tie_word_embeddings": True,
    }
    return Qwen3ASRConfig(
        audio_config={"model_type": "qwen3_asr_encoder", **audio},
        text_config=text,
        audio_token_id=ids["<|audio_pad|>"],
        eos_token_id=[ids["<|endoftext|>"], ids["<|im_end|>"]],
        pad_token_id=ids["<|im_end|>"],
    )


def write_layouts(folder: Path, scratch: Path) -> dict[str, Path]:
    """The same weights as `Qwen/Qwen3-*` and as mlx-community publish them."""
    config = json.loads((folder / "config.json").read_text())
    hf = mx.load(str(folder / "model.safetensors"))
    assert isinstance(hf, dict)
    bare = {weights.renamed(name).replace("score.", "lm_head."): array for name, array in hf.items()}
    thinker = scratch / "thinker"
    thinker.mkdir()
    nested = {"model_type": "qwen3_asr", "thinker_config": config, "support_languages": ["English"]}
    if "id2label" in config:
        nested |= {"timestamp_token_id": config.pop("timestamp_token_id"), "timestamp_segment_time": 80}
        del config["id2label"], config["label2id"], config["architectures"]
        config |= {"model_type": "qwen3_forced_aligner", "classify_num": CLASSES}
    scaling = {"mrope_section": [3, 3, 2], "interleaved": True, "rope_type": "default", "type": "default"}
    nested["thinker_config"]["text_config"] |= {"rope_scaling": scaling, "rope_theta": 1e6}
    (thinker / "config.json").write_text(json.dumps(nested))
    mx.save_safetensors(str(thinker / "model.safetensors"), {f"thinker.{n}": a for n, a in bare.items()})
    split_tokenizer(folder, thinker)
    community = scratch / "mlx"
    community.mkdir()
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        if (folder / name).exists():
            (community / name).write_bytes((folder / name).read_bytes())
    mx.save_safetensors(str(community / "model.safetensors"), channels_last(bare))
    return {"thinker": thinker, "mlx": community}


def channels_last(bare: dict[str, mx.array]) -> dict[str, mx.array]:
    return {n: mx.contiguous(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a for n, a in bare.items()}


def split_tokenizer(folder: Path, target: Path) -> None:
    """tokenizer.json as vocab.json, merges.txt and tokenizer_config.json."""
    whole = json.loads((folder / "tokenizer.json").read_text())
    (target / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    merges = [" ".join(pair) for pair in whole["model"]["merges"]]
    (target / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    added = {str(entry.pop("id")): entry for entry in whole["added_tokens"]}
    settings = {"added_tokens_decoder": added, "tokenizer_class": "Qwen2Tokenizer"}
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
