"""A GGUF file turned into a model folder that mlx-lm loads. All or nothing: renamed at the end."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx

from ominix.convert.gguf import container, llama, vocabulary
from ominix.errors import Conflict


def convert(source: Path, destination: Path) -> None:
    """InvalidRequest for a file that cannot be converted, Conflict for a folder that is there."""
    if destination.exists():
        raise Conflict(f"{destination} is there already")
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
    weights = llama.weights(gguf, config)
    destination.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        _write(draft, texts, weights)
        draft.replace(destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(folder: Path, texts: dict[str, Any], weights: dict[str, mx.array]) -> None:
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    folder.chmod(0o755)  # mkdtemp lets its owner in alone
