"""Writes the trained network as a checkpoint folder that transformers reads back.

`python -m training.tiny_asr.export --run FOLDER --to FOLDER` writes a run's last checkpoint.
"""

import argparse
from pathlib import Path

import torch
from transformers import GenerationConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor

from .model import Learner, build_config
from .tokens import build_processor


def export(asr: Qwen3ASRForConditionalGeneration, processor: Qwen3ASRProcessor, folder: Path) -> None:
    """config.json, model.safetensors (float16), tokenizer, processor and generation settings."""
    copy = Qwen3ASRForConditionalGeneration(asr.config)
    copy.load_state_dict(asr.state_dict())
    copy = copy.half()
    copy.generation_config = GenerationConfig(
        eos_token_id=asr.config.eos_token_id,
        pad_token_id=asr.config.pad_token_id,
        do_sample=False,
        max_new_tokens=512,
    )
    copy.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    processor.save_pretrained(folder)
    processor.feature_extractor.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    processor = build_processor()
    learner = Learner(build_config(processor))
    saved = torch.load(options.run / "checkpoint.pt", weights_only=True)
    learner.load_state_dict(saved["learner"])
    export(learner.asr, processor, options.to)


if __name__ == "__main__":
    main()
