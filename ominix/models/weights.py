"""Arrays of a checkpoint into a model: quantized where they are, and only if every one of them fits.

Reads *.safetensors and *.npz and nothing else: no pickles, no code. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

Weights = dict[str, mx.array]


def read(files: Sequence[Path]) -> Weights:
    """All arrays of these files, under the names there; lazy. Raises ValueError for a broken file."""
    weights: Weights = {}
    for file in files:
        try:
            loaded = mx.load(str(file))
        except (RuntimeError, ValueError, OSError, SyntaxError) as error:
            raise ValueError(f"{file} cannot be read: {error}") from error
        assert isinstance(loaded, dict)  # what mlx gives for these suffixes
        weights |= loaded
    return weights


def fill(folder: Path, model: nn.Module, weights: Weights, modes: Mapping[str, str] | None = None) -> None:
    """Raises ValueError naming the weights that are missing, surplus or misshapen. The arrays stay lazy.

    `modes`: the quantization mode by the module's path, "" for all others; "affine" if it does not say.
    """
    _quantize(model, weights, modes or {})
    _check(folder, model, weights)
    model.load_weights(list(weights.items()))
    model.eval()


def _quantize(model: nn.Module, weights: Weights, modes: Mapping[str, str]) -> None:
    """Turns exactly those modules into quantized ones that have scales, each at the width of its arrays."""

    def predicate(path: str, module: nn.Module) -> bool | dict[str, Any]:
        scales, packed = weights.get(f"{path}.scales"), weights.get(f"{path}.weight")
        if scales is None or packed is None or not isinstance(module, nn.Linear | nn.Embedding):
            return False
        width = int(module.weight.shape[-1])
        if width % scales.shape[-1] or packed.shape[-1] * 32 % width:
            return False  # left as it is, so that the check names it
        return {
            "group_size": width // scales.shape[-1],
            "bits": packed.shape[-1] * 32 // width,
            "mode": modes.get(path, modes.get("", "affine")),
        }

    nn.quantize(model, class_predicate=predicate)


def _check(folder: Path, model: nn.Module, weights: Weights) -> None:
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
