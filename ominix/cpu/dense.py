"""Models in float32 for a CPU, with numpy and a BLAS where mlx's CPU backend is slow.

A fast BLAS multiplies float32 alone, so quantized weights are unpacked and all others turned into it. They
are kept as (in, out), with which a product of up to 16 rows needs half the time or less (Zen 3, OpenBLAS
0.3.34). mlx compiles its own activations with g++ at run time; these need no compiler.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_map_with_path
from mlx_lm.models.switch_layers import SwitchLinear

from ominix.cpu import kernels, layers


class Linear(nn.Module):
    """nn.Linear with its weight transposed."""

    def __init__(self, weight: mx.array, bias: mx.array | None) -> None:
        """`weight`: (out, in); `bias`: (out,)."""
        super().__init__()
        self.transposed = mx.contiguous(weight.T)
        if bias is not None:
            self.bias = bias

    @property
    def weight(self) -> mx.array:
        """As nn.Linear has it, for models that look at it."""
        return self.transposed.T

    def __setattr__(self, name: str, value: Any) -> None:
        """For models that change their weight: nn.Module would put a second one beside ours."""
        if name == "weight":
            name, value = "transposed", mx.contiguous(value.T)
        super().__setattr__(name, value)

    def __call__(self, x: mx.array) -> mx.array:
        y = product(x, self.transposed)
        return y + self.bias if "bias" in self else y


class Embedding(nn.Module):
    """nn.Embedding with its weight transposed, for the output's sake."""

    def __init__(self, weight: mx.array) -> None:
        """`weight`: (words, D)."""
        super().__init__()
        self.transposed = mx.contiguous(weight.T)

    @property
    def weight(self) -> mx.array:
        """As nn.Embedding has it, for models that look at it."""
        return self.transposed.T

    def __call__(self, x: mx.array) -> mx.array:
        columns = self.transposed[:, x.flatten()]  # (D, n)
        return columns.T.reshape(*x.shape, -1)

    def as_linear(self, x: mx.array) -> mx.array:
        return product(x, self.transposed)


class Experts(SwitchLinear):
    """SwitchLinear with weights in half precision, of which mlx multiplies none on a CPU: those of the
    experts that are asked become float32, for the moment."""

    def __call__(self, x: mx.array, indices: mx.array, sorted_indices: bool = False) -> mx.array:
        """`x`: (..., 1, in), `indices`: (...), of experts -> (..., 1, out)"""
        asked, inverse = np.unique(np.asarray(indices), return_inverse=True)
        weight = self.weight[mx.array(asked)].astype(mx.float32)
        places = mx.array(inverse.reshape(indices.shape).astype(np.uint32))
        y = mx.gather_mm(
            x.astype(mx.float32), weight.swapaxes(-1, -2), rhs_indices=places, sorted_indices=sorted_indices
        ).astype(x.dtype)
        return y + mx.expand_dims(self.bias[indices], -2) if "bias" in self else y


class GELU(nn.Module):
    def __call__(self, x: mx.array) -> mx.array:
        return mx.array(kernels.gelu(np.asarray(x)))


def make(model: nn.Module) -> None:
    """Replaces the modules in place. The weights stay lazy."""
    model.set_dtype(mx.float32)
    modules = tree_map_with_path(lambda _, m: _dense(m), model.leaf_modules(), is_leaf=nn.Module.is_module)
    model.update_modules(modules)
    layers.take(model)


def mend(model: nn.Module) -> None:
    """What mlx does not compute on a CPU, whatever layers the model keeps."""
    for module in model.modules():
        if type(module) is SwitchLinear and module.weight.dtype != mx.float32:
            module.__class__ = Experts


def product(x: mx.array, weight: mx.array) -> mx.array:
    """(..., in) by (in, out)."""
    if x.size != len(weight):
        return x @ weight
    row = kernels.product(np.asarray(x).reshape(1, -1), np.asarray(weight))  # by sgemv, not sgemm
    return mx.array(row).reshape(*x.shape[:-1], -1)


def _dense(module: nn.Module) -> nn.Module:
    """Of these very types: what a model derives from them may compute something else."""
    if type(module) in (nn.Linear, nn.QuantizedLinear):
        return Linear(_unpacked(module), module.get("bias"))
    if type(module) in (nn.Embedding, nn.QuantizedEmbedding):
        return Embedding(_unpacked(module))
    is_gelu = type(module) is nn.GELU and module._approx == "none"  # the others are other functions
    return GELU() if is_gelu else module


def _unpacked(module: nn.Module) -> mx.array:
    """(out, in), float32."""
    weight: mx.array = module.weight
    if not isinstance(module, nn.QuantizedLinear | nn.QuantizedEmbedding):
        return weight
    parts = (weight, module.scales, module.get("biases"))
    options = {"group_size": module.group_size, "bits": module.bits, "mode": module.mode}
    return mx.dequantize(*parts, **options).astype(mx.float32)
