"""config.json of a Qwen3-ASR or Qwen3-ForcedAligner folder, in each of its published shapes.

`Qwen/Qwen3-*` nests everything under "thinker_config", `Qwen/*-hf` does not, and mlx-community's add
"quantization". What a file leaves out has transformers' default.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mlx_lm.models import qwen3


@dataclass(frozen=True)
class EncoderConfig:
    """The audio tower. Names as in the file."""

    num_mel_bins: int = 128
    d_model: int = 1024
    encoder_layers: int = 24
    encoder_attention_heads: int = 16
    encoder_ffn_dim: int = 4096
    downsample_hidden_size: int = 480
    output_dim: int = 2048
    n_window: int = 50  # frames: half a chunk of the convolutions
    n_window_infer: int = 800  # frames: an attention window
    activation_function: str = "gelu"

    @property
    def chunk(self) -> int:
        """Frames in a chunk of the convolutions."""
        return 2 * self.n_window

    @property
    def window(self) -> int:
        """Positions in an attention window."""
        return positions(self.chunk) * (self.n_window_infer // self.chunk)


@dataclass(frozen=True)
class Config:
    audio_config: EncoderConfig
    text_config: qwen3.ModelArgs
    eos_token_ids: tuple[int, ...]  # as far as the files name them
    quantization: dict[str, Any] | None  # mlx's: group_size, bits, and exceptions by module name


@dataclass(frozen=True)
class AlignerConfig:
    model: Config
    classes: int  # of the head: points in time
    class_ms: float  # milliseconds from one to the next
    has_bias: bool
    timestamp_token_id: int | None  # None: the tokenizer knows it
    languages: tuple[str, ...]  # English names


def positions(frames: int) -> int:
    """What three convolutions of stride two leave of so many frames."""
    for _ in range(3):
        frames = (frames + 1) // 2
    return frames


# transformers' other names for the same.
_NAMES = {
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
    "num_attention_heads": "encoder_attention_heads",
    "intermediate_size": "encoder_ffn_dim",
}

_TEXT_DEFAULTS: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 2048,
    "num_hidden_layers": 28,
    "intermediate_size": 6144,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rms_norm_eps": 1e-6,
    "vocab_size": 151936,
    "max_position_embeddings": 65536,
    "rope_theta": 1_000_000.0,
    "tie_word_embeddings": True,
}


# What the aligner was trained on: the model card of Qwen/Qwen3-ForcedAligner-0.6B.
_ALIGNER_LANGUAGES = (
    "Cantonese",
    "Chinese",
    "English",
    "French",
    "German",
    "Italian",
    "Japanese",
    "Korean",
    "Portuguese",
    "Russian",
    "Spanish",
)
_CLASS_MS = 80.0
_MODEL_TYPES = ("qwen3_asr", "qwen3_forced_aligner")


def read(folder: Path) -> Config:
    """Raises ValueError for a file that does not describe a Qwen3-ASR recogniser."""
    raw = _raw(folder)
    if _is_aligner(raw):
        raise ValueError(f"{folder}: this is a forced aligner; it cannot transcribe")
    return _config(folder, raw)


def read_aligner(folder: Path) -> AlignerConfig:
    """Raises ValueError for a file that does not describe a Qwen3 forced aligner."""
    raw = _raw(folder)
    if not _is_aligner(raw):
        raise ValueError(f"{folder}: this is no forced aligner")
    known = {**raw, **raw.get("thinker_config", {})}
    classes = known.get("classify_num") or known.get("num_labels") or len(known.get("id2label", ()))
    if not classes:
        raise ValueError(f"{folder}: config.json does not say how many points in time there are")
    model = _config(folder, raw)
    headless = replace(model.text_config, tie_word_embeddings=True)  # the only head is that of the classes
    return AlignerConfig(
        model=replace(model, text_config=headless),
        classes=int(classes),
        class_ms=float(known.get("timestamp_segment_time") or _processor_ms(folder) or _CLASS_MS),
        has_bias=bool(known.get("token_classification_bias", False)),
        timestamp_token_id=known.get("timestamp_token_id"),
        languages=tuple(known.get("support_languages") or _ALIGNER_LANGUAGES),
    )


def _raw(folder: Path) -> dict[str, Any]:
    raw = _json(folder / "config.json")
    if raw.get("model_type") not in _MODEL_TYPES:
        raise ValueError(f"{folder}: model_type is {raw.get('model_type')!r}, not 'qwen3_asr'")
    return raw


def _is_aligner(raw: dict[str, Any]) -> bool:
    inner = raw.get("thinker_config", raw)
    named = f"{raw.get('architectures')} {raw['model_type']} {inner.get('model_type')}".lower()
    marks = ("forcedaligner", "forced_aligner", "fortokenclassification")
    return "classify_num" in inner or any(mark in named for mark in marks)


def _processor_ms(folder: Path) -> float | None:
    """Where the `-hf` folders keep it."""
    path = folder / "processor_config.json"
    return _json(path).get("timestamp_segment_time") if path.exists() else None


def _config(folder: Path, raw: dict[str, Any]) -> Config:
    inner = raw.get("thinker_config", raw)
    known = {field.name for field in fields(EncoderConfig)}
    named = {_NAMES.get(k, k): v for k, v in inner.get("audio_config", {}).items()}
    audio = {k: v for k, v in named.items() if k in known}
    generation = folder / "generation_config.json"
    ends = _json(generation).get("eos_token_id") if generation.exists() else None
    return Config(
        audio_config=EncoderConfig(**audio),
        text_config=_text(inner),
        eos_token_ids=_ids(inner.get("eos_token_id") if ends is None else ends),
        quantization=raw.get("quantization") or raw.get("quantization_config"),
    )


def _text(inner: dict[str, Any]) -> qwen3.ModelArgs:
    """The decoder's arguments. An audio prompt's positions run on, so "mrope" is plain rotary embedding."""
    text = {k: v for k, v in inner.get("text_config", {}).items() if v is not None}
    rope = text.pop("rope_parameters", {})
    text.pop("rope_scaling", None)
    text.setdefault("rope_theta", rope.get("rope_theta", _TEXT_DEFAULTS["rope_theta"]))
    args: qwen3.ModelArgs = qwen3.ModelArgs.from_dict({**_TEXT_DEFAULTS, **text})
    return args


def _ids(value: int | list[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content
