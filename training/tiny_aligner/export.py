"""Writes the trained aligner as mlx-community's folders are: `python -m training.tiny_aligner.export ...`.

Weights of 8 bits, convolutions in float16; tokenizer and encoder settings are the speech model's.
"""

import argparse
import json
import shutil
from pathlib import Path

import mlx.core as mx
import torch
from transformers import Qwen2Tokenizer

from ominix.models.qwen3_asr import weights

from .train import CLASS_SECONDS, CLASSES, STAMP, Learner

_GROUP, _BITS = 32, 8
_LANGUAGES = ["Chinese", "English", "Spanish"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--asr", type=Path, required=True, help="the speech model it was begun with")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    learner = Learner(options.asr, Qwen2Tokenizer.from_pretrained(options.asr))
    learner.load_state_dict(torch.load(options.run / "checkpoint.pt", weights_only=True)["learner"])
    options.to.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(options.to / "model.safetensors"), _arrays(learner))
    shutil.copy(options.asr / "tokenizer.json", options.to)
    settings = json.loads((options.asr / "config.json").read_text())
    settings |= {
        "architectures": ["Qwen3ASRForTokenClassification"],
        "text_config": learner.aligner.config.text_config.to_dict(),
        "classify_num": CLASSES,
        "timestamp_segment_time": round(CLASS_SECONDS * 1000),
        "timestamp_token_id": Qwen2Tokenizer.from_pretrained(options.asr).convert_tokens_to_ids(STAMP),
        "support_languages": _LANGUAGES,
        "quantization": {"group_size": _GROUP, "bits": _BITS},
    }
    (options.to / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    weights.load_aligner(options.to)  # raises ValueError if something is missing


def _arrays(learner: Learner) -> dict[str, mx.array]:
    arrays: dict[str, mx.array] = {}
    for name, tensor in learner.aligner.state_dict().items():
        ours = weights.renamed(name).replace("score.", "lm_head.")
        array = mx.array(tensor.numpy())
        if array.ndim == 2 and array.shape[1] % _GROUP == 0:
            parts = mx.quantize(array.astype(mx.float16), group_size=_GROUP, bits=_BITS)
            stem = ours.removesuffix(".weight")
            arrays |= dict(zip((ours, f"{stem}.scales", f"{stem}.biases"), parts, strict=True))
        else:
            channels_last = array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
            arrays[ours] = mx.contiguous(channels_last.astype(mx.float16))
    return arrays


if __name__ == "__main__":
    main()
