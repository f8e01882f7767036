"""The three published layouts of the weights, and whether they fit.

    Qwen/Qwen3-ASR-*     thinker.audio_tower.*, thinker.model.*
    Qwen/Qwen3-ASR-*-hf  model.audio_tower.*, model.multi_modal_projector.*, model.language_model.*
    mlx-community/*      audio_tower.*, model.*, convolutions with channels last, quantized or not

An aligner's head is thinker.lm_head, score and lm_head there; here it is score.

Reads *.safetensors and nothing else: no pickles, no code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

from ominix.models import weights as files
from ominix.models.claims import SHOWN
from ominix.models.qwen3_asr import config as configs
from ominix.models.qwen3_asr.model import ForcedAligner, Model
from ominix.models.weights import Weights

M = TypeVar("M", bound=Model)

_PREFIXES = (
    ("thinker.", ""),
    ("model.multi_modal_projector.linear_1.", "audio_tower.proj1."),
    ("model.multi_modal_projector.linear_2.", "audio_tower.proj2."),
    ("model.audio_tower.", "audio_tower."),
    ("model.language_model.", "model."),
)
_HEAD = re.compile(r"^lm_head\.")
# Constants that older tools wrote out with the weights.
_COMPUTED = ("audio_tower.positional_embedding.", "model.rotary_emb.")


def load(folder: Path) -> Model:
    """Raises ValueError naming the weights that are missing, surplus or misshapen. The arrays stay lazy."""
    config = configs.read(folder)
    return _filled(folder, Model(config), _read(folder), config)


def load_aligner(folder: Path) -> ForcedAligner:
    """As `load`, for a forced aligner."""
    config = configs.read_aligner(folder)
    weights = {_HEAD.sub("score.", name): array for name, array in _read(folder).items()}
    return _filled(folder, ForcedAligner(config), weights, config.model)


def _filled(folder: Path, model: M, weights: Weights, config: configs.Config) -> M:
    files.fill(folder, model, _fitted(weights, config), _modes(config.quantization or {}))
    return model


def _read(folder: Path) -> Weights:
    """Every tensor of the folder, under our name for it."""
    found = sorted(folder.glob(SHOWN + ".safetensors"))
    if not found:
        raise ValueError(f"{folder} has no .safetensors file")
    return {renamed(name): array for name, array in files.read(found).items()}


def renamed(name: str) -> str:
    for prefix, ours in _PREFIXES:
        if name.startswith(prefix):
            return ours + name.removeprefix(prefix)
    return name


def _fitted(weights: Weights, config: configs.Config) -> Weights:
    """Without what is computed or tied; convolutions with channels last."""
    dropped = (*_COMPUTED, "lm_head.") if config.text_config.tie_word_embeddings else _COMPUTED
    weights = {name: a for name, a in weights.items() if not name.startswith(dropped)}
    first = weights.get("audio_tower.conv2d1.weight")  # (C, 1, 3, 3) or (C, 3, 3, 1)
    if first is not None and first.ndim == 4 and first.shape[1] == 1:
        for name in (f"audio_tower.conv2d{i}.weight" for i in (1, 2, 3)):
            if name in weights and weights[name].ndim == 4:
                weights[name] = weights[name].transpose(0, 2, 3, 1)
    return weights


def _modes(settings: dict[str, Any]) -> dict[str, str]:
    """The quantization mode by the module's path, "" for all others."""
    exceptions = {renamed(f"{name}."): value for name, value in settings.items() if isinstance(value, dict)}
    modes = {path.removesuffix("."): value.get("mode", "affine") for path, value in exceptions.items()}
    return {"": settings.get("mode", "affine"), **modes}
