"""What a model is good for, by its config.json."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# model_type -> task; what is not here is a chat model if mlx-lm has a module of that name.
TASKS = {"qwen3_asr": "speech", "minicpm_sala": "chat", "qwen3_forced_aligner": "aligner"}
# model_type -> package under ominix.models; what is not here is mlx-lm's own.
PACKAGES = {"qwen3_asr": "qwen3_asr", "qwen3_forced_aligner": "qwen3_asr", "minicpm_sala": "minicpm_sala"}
# Aligners share qwen3_asr's model_type; these tell them apart, in `architectures` or the inner model_type.
ALIGNERS = ("ForcedAligner", "forced_aligner", "ForTokenClassification")
# Spellings that mlx-lm maps to another module's name (mlx_lm.utils.MODEL_REMAPPING).
REMAPPED = {"mistral", "llava", "phi-msft", "falcon_mamba", "kimi_k2", "minimax_m2", "iquestcoder"}


def task_of(config: Mapping[str, Any]) -> str:
    """chat, speech, aligner, or unknown: nothing here can serve it."""
    model_type = str(config.get("model_type"))
    inner = config.get("thinker_config")
    inner = inner if isinstance(inner, dict) else config
    named = f"{config.get('architectures')} {inner.get('model_type')}"
    if "asr" in model_type and ("classify_num" in inner or any(mark in named for mark in ALIGNERS)):
        return "aligner"
    if model_type in TASKS:
        return TASKS[model_type]
    return "chat" if model_type in REMAPPED or _mlx_lm_has(model_type) else "unknown"


def _mlx_lm_has(model_type: str) -> bool:
    if not model_type.replace("_", "").replace("-", "").isalnum():
        return False
    spec = importlib.util.find_spec("mlx_lm")  # finds the folder without importing it
    folders = spec.submodule_search_locations if spec else None
    name = model_type.replace("-", "_") + ".py"
    return any((Path(folder) / "models" / name).is_file() for folder in folders or [])
