"""The one door to what only a CPU needs: float32 weights, numpy layers, OpenBLAS' threads.

In: a model whose weights are still lazy. Out: the same model, its weights evaluated, and on a CPU with a fast
BLAS turned into what is fast there. On Metal and CUDA, and with `--cpu plain`, it stays as it was loaded.
Engines and models import this module, `backend` (before mlx is imported) and `threads`, nothing else of this
package.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.utils import dequantize_model

from ominix.cpu import dense, kernels
from ominix.cpu.backend import Backend


def on_cpu() -> bool:
    """Whether mlx computes on the CPU."""
    return bool(mx.default_device() == mx.Device(mx.cpu))


def settle(model: nn.Module, backend: Backend, fits_float32: Callable[[nn.Module], bool]) -> None:
    """Turn the model in place into what computes fast here, then evaluate its weights.

    `fits_float32`: whether there is memory for all weights as float32. If not, quantized models keep their
    weights and get float32 scales: with bfloat16 ones a product takes six times as long.
    """
    if backend.wants_float32 and on_cpu():
        fits = fits_float32(model)
        if fits or any(isinstance(module, nn.QuantizedLinear) for module in model.modules()):
            model.set_dtype(mx.float32)  # scales first, so that no weight is rounded on its way
        if fits:
            dequantize_model(model)
            dense.make(model)
    if on_cpu():
        dense.mend(model)
    mx.eval(model.parameters())


def is_settled_for_cpu(model: nn.Module) -> bool:
    """Whether `settle` has put this package's layers into the model."""
    return any(isinstance(module, dense.Linear | dense.Embedding) for module in model.modules())


def log_softmax(logits: mx.array, *, in_numpy: bool) -> mx.array:
    """(n, V) float32 logits -> natural log-probabilities. mlx's CPU backend takes exponentials one by one."""
    if in_numpy:
        return logits - mx.array(kernels.logsumexp(np.asarray(logits)))
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def attention(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None, *, in_numpy: bool) -> mx.array:
    """`q`: (B, L, H, D); `k`, `v`: (B, H, K, D); `mask`, broadcast to (B, 1, L, K): true where a position may
    look, None for everywhere -> (B, L, H, D)."""
    scale = q.shape[-1] ** -0.5
    if in_numpy:
        mx.eval([x for x in (q, k, v, mask) if x is not None])  # at once: each eval waits for mlx's thread
        seen = None if mask is None else np.asarray(mask)
        return mx.array(kernels.attention(np.asarray(q), np.asarray(k), np.asarray(v), scale, seen))
    q = q.transpose(0, 2, 1, 3)
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask).transpose(0, 2, 1, 3)
