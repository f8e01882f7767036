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

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ominix.models.qwen3_asr import config as configs
from ominix.models.qwen3_asr.model import ForcedAligner, Model

Weights = dict[str, mx.array]
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
    weights = _fitted(weights, config)
    _quantize(model, weights, config.quantization or {})
    _check(folder, model, weights)
    model.load_weights(list(weights.items()))
    model.eval()
    return model


def _read(folder: Path) -> Weights:
    """Every tensor of the folder, under our name for it."""
    weights: Weights = {}
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder} has no .safetensors file")
    for file in files:
        try:
            loaded = mx.load(str(file))
        except RuntimeError as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        assert isinstance(loaded, dict)  # what mlx gives for this suffix
        weights |= {renamed(name): array for name, array in loaded.items()}
    return weights


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


def _quantize(model: Model, weights: Weights, settings: dict[str, Any]) -> None:
    """Turns exactly those modules into quantized ones that have scales, each at the width of its arrays."""
    exceptions = {renamed(f"{name}."): value for name, value in settings.items() if isinstance(value, dict)}

    def predicate(path: str, module: nn.Module) -> bool | dict[str, Any]:
        scales, packed = weights.get(f"{path}.scales"), weights.get(f"{path}.weight")
        if scales is None or packed is None or not isinstance(module, nn.Linear | nn.Embedding):
            return False
        width = int(module.weight.shape[-1])
        if width % scales.shape[-1] or packed.shape[-1] * 32 % width:
            return False  # left as it is, so that the check names it
        mode = exceptions.get(f"{path}.", settings).get("mode", "affine")
        return {
            "group_size": width // scales.shape[-1],
            "bits": packed.shape[-1] * 32 // width,
            "mode": mode,
        }

    nn.quantize(model, class_predicate=predicate)


def _check(folder: Path, model: Model, weights: Weights) -> None:
    parameters: list[tuple[str, mx.array]] = tree_flatten(model.parameters())  # type: ignore[assignment]
    expected = {name: array.shape for name, array in parameters}  # ignored: a dict is for other arguments
    missing = [name for name in expected if name not in weights]
    surplus = [name for name in weights if name not in expected]
    misshapen = [
        f"{name} {weights[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    faults = {"missing": missing, "surplus": surplus, "misshapen": misshapen}
    if any(faults.values()):
        parts = [f"{what}: {_some(names)}" for what, names in faults.items() if names]
        raise ValueError(f"{folder}: the weights do not fit config.json; " + "; ".join(parts))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
