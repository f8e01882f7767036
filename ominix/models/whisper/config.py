"""config.json of a Whisper folder, in each of its published shapes, or none at all (CTranslate2).

Names are those of openai-whisper and mlx-whisper. Hugging Face's are translated; what CTranslate2's file
leaves out is measured on the weights, see `ct2.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

Heads = tuple[tuple[int, int], ...]  # (layer, head) pairs


@dataclass(frozen=True)
class Config:
    n_mels: int = 80
    n_audio_ctx: int = 1500  # positions of 20 ms
    n_audio_state: int = 512
    n_audio_head: int = 8
    n_audio_layer: int = 6
    n_vocab: int = 51865
    n_text_ctx: int = 448  # tokens, the prompt's included
    n_text_state: int = 512
    n_text_head: int = 8
    n_text_layer: int = 6
    quantization: dict[str, Any] | None = None  # mlx's: group_size, bits
    alignment_heads: Heads = ()  # of word times, as far as the files name them

    @property
    def frames(self) -> int:
        """Log-mel frames that the encoder reads at once."""
        return 2 * self.n_audio_ctx

    @property
    def translates(self) -> bool:
        """Not turbo, distil and English-only models: they answer in the language of the recording."""
        return self.n_vocab >= 51865 and self.n_text_layer == self.n_audio_layer


# Hugging Face's name -> ours
_NAMES = {
    "num_mel_bins": "n_mels",
    "max_source_positions": "n_audio_ctx",
    "encoder_attention_heads": "n_audio_head",
    "encoder_layers": "n_audio_layer",
    "vocab_size": "n_vocab",
    "max_target_positions": "n_text_ctx",
    "decoder_attention_heads": "n_text_head",
    "decoder_layers": "n_text_layer",
    "quantization_config": "quantization",
}


def read(folder: Path) -> Config:
    """Raises ValueError for a file that does not describe a Whisper model."""
    raw = {**read_json(folder / "config.json", required=True)}
    if raw.get("model_type", "whisper") != "whisper":
        raise ValueError(f"{folder}: model_type is {raw['model_type']!r}, not 'whisper'")
    if "d_model" in raw:
        raw.update(n_audio_state=raw["d_model"], n_text_state=raw["d_model"])
    named = {_NAMES.get(name, name): value for name, value in raw.items()}
    named.pop("alignment_heads", None)
    known = {field.name for field in fields(Config)}
    missing = [name for name in sorted(known - {"quantization", "alignment_heads"}) if name not in named]
    if missing:
        raise ValueError(f"{folder}: config.json does not say {', '.join(missing)}")
    values = {name: value for name, value in named.items() if name in known}
    for name, value in values.items():
        if name != "quantization" and not (type(value) is int and 0 < value < 1 << 20):
            raise ValueError(f"{folder}: {name} in config.json is {value!r}, not a positive whole number")
    return Config(**values, alignment_heads=alignment_heads(folder))


def alignment_heads(folder: Path) -> Heads:
    """As the folder's files name them; () if none does."""
    for name in ("generation_config.json", "config.json"):
        found = read_json(folder / name).get("alignment_heads")
        if isinstance(found, list) and found:
            return tuple((int(layer), int(head)) for layer, head in found)
    return ()


def read_json(path: Path, *, required: bool = False) -> dict[str, Any]:
    """An absent file that is not required reads as {}. Raises ValueError."""
    if not required and not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content
