"""Models in float32 for a CPU, with numpy where mlx's CPU backend is slow.

A fast BLAS multiplies float32 alone, so quantized weights are unpacked and all others turned into it. As
measured on a Zen 3 core with OpenBLAS 0.3.34, against the plain modules:

- weights are kept as (in, out): a product of up to 16 rows needs half the time or less;
- one row, which is a decoder step, goes to numpy: it calls sgemv (19 GB/s) where mlx calls sgemm (8 GB/s);
- gelu and silu go to numpy: mlx computes exponentials one by one (35 ns for a gelu; here 7).

mlx compiles its own activations with g++ at run time; these need no compiler.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx import nn
from mlx.utils import tree_map_with_path

Floats = npt.NDArray[np.float32]

_BLOCK = 1 << 15  # elements at a time: stays in the cache
# erf to 1.5e-7: Abramowitz and Stegun, 7.1.26
_ERF = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))
_ERF_P = np.float32(0.3275911 / np.sqrt(2))


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


class GELU(nn.Module):
    def __call__(self, x: mx.array) -> mx.array:
        return _in_blocks(_gelu, x)


class SwiGLU(nn.Module):
    """The feed-forward part of Qwen and Llama."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = plain.gate_proj, plain.up_proj, plain.down_proj

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.down_proj(_in_blocks(_silu, self.gate_proj(x)) * self.up_proj(x))
        return y


def make(model: nn.Module) -> None:
    """Replaces the modules in place. The weights stay lazy."""
    model.set_dtype(mx.float32)
    modules = tree_map_with_path(lambda _, m: _dense(m), model.leaf_modules(), is_leaf=nn.Module.is_module)
    model.update_modules(modules)


def product(x: mx.array, weight: mx.array) -> mx.array:
    """(..., in) by (in, out)."""
    if x.size != len(weight):
        return x @ weight
    return mx.array(np.asarray(x).reshape(-1) @ np.asarray(weight)).reshape(*x.shape[:-1], -1)


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


def _in_blocks(function: Callable[[Floats, Floats], None], x: mx.array) -> mx.array:
    """`function(values, out)` over all of x."""
    values = np.asarray(x).reshape(-1)
    out = np.empty_like(values)
    for i in range(0, len(values), _BLOCK):
        function(values[i : i + _BLOCK], out[i : i + _BLOCK])
    return mx.array(out).reshape(x.shape)


def _gelu(x: Floats, out: Floats) -> None:
    """x times the normal distribution's integral: max(x, 0) - |x| erfc(|x| / sqrt 2) / 2."""
    size = np.abs(x)
    t = np.reciprocal(size * _ERF_P + np.float32(1))
    tail = t * _ERF[0]
    for coefficient in _ERF[1:]:
        tail += coefficient
        tail *= t
    np.square(x, out=t)
    t *= np.float32(-0.5)
    tail *= np.exp(t, out=t)
    tail *= size
    tail *= np.float32(0.5)
    np.maximum(x, np.float32(0), out=out)
    out -= tail


def _silu(x: Floats, out: Floats) -> None:
    """x / (1 + exp(-x)), by way of tanh, which does not overflow."""
    np.multiply(x, np.float32(0.5), out=out)
    half = out.copy()
    np.tanh(out, out=out)
    out *= half
    out += half
