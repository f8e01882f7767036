"""config.json of a Qwen3-ASR folder, in each of its published shapes.

`Qwen/Qwen3-ASR-*` nests everything under "thinker_config", `Qwen/*-hf` does not, and mlx-community's add
"quantization". What a file leaves out has transformers' default.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
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


def positions(frames: int) -> int:
    """What three convolutions of stride two leave of so many frames."""
    for _ in range(3):
        frames = (frames + 1) // 2
    return frames


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


def read(folder: Path) -> Config:
    """Raises ValueError for a file that does not describe a Qwen3-ASR recogniser."""
    raw = _json(folder / "config.json")
    inner = raw.get("thinker_config", raw)
    if raw.get("model_type") != "qwen3_asr":
        raise ValueError(f"{folder}: model_type is {raw.get('model_type')!r}, not 'qwen3_asr'")
    named = str(raw.get("architectures"))
    if "ForcedAligner" in named or "ForTokenClassification" in named or "classify_num" in inner:
        raise ValueError(f"{folder}: this is a forced aligner; it cannot transcribe")
    known = {field.name for field in fields(EncoderConfig)}
    audio = {k: v for k, v in inner.get("audio_config", {}).items() if k in known}
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
