"""A GGUF file turned into a model folder that mlx-lm loads."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx

from ominix.convert import draft
from ominix.convert.gguf import container, llama, vocabulary, weights


def convert(source: Path, destination: Path) -> None:
    """InvalidRequest for a file that cannot be converted, Conflict for a folder that is there."""
    with draft.folder(destination) as folder:
        gguf = container.read(source)
        config = llama.config(gguf)
        texts = {
            "config.json": config,
            "generation_config.json": {
                key: config[key] for key in ("bos_token_id", "eos_token_id") if config[key] is not None
            },
            "tokenizer.json": vocabulary.tokenizer(gguf),
            "tokenizer_config.json": vocabulary.tokenizer_config(gguf),
        }
        for name, content in texts.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
        arrays = llama.weights(weights.read(source, gguf), config)
        mx.save_safetensors(str(folder / "model.safetensors"), arrays, {"format": "mlx"})
