"""What numpy and a BLAS compute faster than mlx does on a CPU: float32 arrays in and out.

As measured on a Zen 3 core: mlx computes exponentials one by one (a gelu in 35 ns, a logsumexp in 16, where
numpy needs 7 and 3), and hands every piece of work to a thread of its own, which takes 90 us to and fro.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Seen = npt.NDArray[np.bool_]

_BLOCK = 1 << 15  # elements at a time: stays in the cache
_SCORES = 1 << 18  # of attention, at a time
_LEAST = np.finfo(np.float32).min  # finite: a row that sees nothing must not become NaN
_ROW_MAJOR, _NO_TRANSPOSE, _TRANSPOSE = 101, 111, 112  # CBLAS's own numbers
# erf to 1.5e-7: Abramowitz and Stegun, 7.1.26
_ERF = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))
_ERF_P = np.float32(0.3275911 / np.sqrt(2))


def product(x: Floats, weight: Floats) -> Floats:
    """(n, in) by (in, out) -> (n, out)."""
    x = np.ascontiguousarray(x)
    out = np.empty((len(x), weight.shape[1]), np.float32)
    multiply = _blas("cblas_sgemv", "iiiifaiaifai")
    if len(x) > 1 or multiply is None:
        _gemm(x, weight, out)
    else:  # sgemv reads weights at 19 GB/s, sgemm at 8
        (a, _), (w, step), (y, _) = map(_place, (x, weight, out))
        multiply(_ROW_MAJOR, _TRANSPOSE, *weight.shape, 1.0, w, step, a, 1, 0.0, y, 1)
    return out


def attention(q: Floats, k: Floats, v: Floats, scale: float, mask: Seen | None) -> Floats:
    """`q`: (B, L, H, D); `k`, `v`: (B, H_kv, K, D), contiguous but for B and H_kv; `mask`, broadcast to
    (B, 1, L, K): true where a position may look, None for everywhere -> (B, L, H, D)."""
    B, L, H, _ = q.shape
    if L == 1:
        return _attention_of_rows(q[:, 0] * np.float32(scale), k, v, mask)[:, None]
    K, group = k.shape[2], H // k.shape[1]
    seen = None if mask is None else np.broadcast_to(mask, (B, 1, L, K))
    out = np.empty_like(q)
    step = max(1, _SCORES // K)
    for b, i in itertools.product(range(B), range(0, L, step)):
        part = None if seen is None else seen[b, 0, i : i + step]
        begin, end = (0, K) if part is None else _span(part)
        for h in range(H):
            keys, values = (cache[b, h // group, begin:end] for cache in (k, v))
            queries = q[b, i : i + step, h]
            scores = np.empty((len(queries), end - begin), np.float32)
            _gemm(queries, keys, scores, scale, _TRANSPOSE)
            if part is not None:
                np.copyto(scores, _LEAST, where=~part[:, begin:end])
            _softmax(scores)
            _gemm(scores, values, out[b, i : i + step, h])
    return out


def _attention_of_rows(q: Floats, k: Floats, v: Floats, mask: Seen | None) -> Floats:
    """(B, H, D), scaled -> (B, H, D)."""
    B, H, D = q.shape
    # vector by vector: numpy takes twice the time for products of two or three rows
    scores = (k[:, :, None] @ q.reshape(B, k.shape[1], -1, D, 1))[..., 0]  # (B, H_kv, H / H_kv, K)
    if mask is not None and not mask.all():
        np.copyto(scores, _LEAST, where=~mask)
    _softmax(scores)
    return cast(Floats, (scores[..., None, :] @ v[:, :, None]).reshape(B, H, D))


def _span(mask: Seen) -> tuple[int, int]:
    """(L, K) -> from the first to behind the last place that is seen at all."""
    places = np.flatnonzero(mask.any(0))
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, mask.shape[1])


def _softmax(x: Floats) -> None:
    """Over the last axis, in place."""
    rows = x.reshape(-1, x.shape[-1])
    step = max(1, _BLOCK // x.shape[-1])
    for i in range(0, len(rows), step):
        part = rows[i : i + step]
        part -= part.max(-1, keepdims=True)
        np.exp(part, out=part)
        part /= part.sum(-1, keepdims=True)


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Over the last axis: Zhang and Sennrich, 2019."""
    mean = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    return cast(Floats, x / np.sqrt(mean + np.float32(eps)) * weight)


def logsumexp(x: Floats) -> Floats:
    """(n, V) -> (n, 1)."""
    out = np.empty((len(x), 1), np.float32)
    for row, total in zip(x, out, strict=True):
        most = row.max()
        parts = (row[i : i + _BLOCK] for i in range(0, len(row), _BLOCK))
        total[:] = most + np.log(sum(np.exp(part - most).sum() for part in parts))
    return out


def swiglu(gate: Floats, up: Floats) -> Floats:
    """silu(gate) * up, of any shape; silu is x / (1 + exp(-x)), by way of tanh, which does not overflow."""

    def block(gate: Floats, up: Floats, out: Floats) -> None:
        np.multiply(gate, np.float32(0.5), out=out)
        half = out.copy()
        np.tanh(out, out=out)
        out *= half
        out += half
        out *= up

    return _in_blocks(block, gate, up)


def gelu(x: Floats) -> Floats:
    """x times the normal distribution's integral: max(x, 0) - |x| erfc(|x| / sqrt 2) / 2."""

    def block(x: Floats, out: Floats) -> None:
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

    return _in_blocks(block, x)


def _in_blocks(function: Callable[..., None], *arrays: Floats) -> Floats:
    """`function(*arrays, out)` over all elements of equal arrays."""
    flat = [array.reshape(-1) for array in arrays]
    out = np.empty_like(flat[0])
    for i in range(0, len(out), _BLOCK):
        function(*(array[i : i + _BLOCK] for array in (*flat, out)))
    return out.reshape(arrays[0].shape)


def _gemm(a: Floats, b: Floats, out: Floats, scale: float = 1.0, form: int = _NO_TRANSPOSE) -> None:
    """out = scale * a @ b, or a @ b.T. Rows contiguous, but they may lie apart."""
    (m, n), k = out.shape, a.shape[1]
    (pa, la), (pb, lb), (po, lo) = map(_place, (a, b, out))
    multiply = _blas("cblas_sgemm", "iiiiiifaiaifai")
    if multiply is None:
        np.matmul(a * np.float32(scale), b.T if form == _TRANSPOSE else b, out=out)
        return
    multiply(_ROW_MAJOR, _NO_TRANSPOSE, form, m, n, k, scale, pa, la, pb, lb, 0.0, po, lo)


def _place(x: Floats) -> tuple[int, int]:
    """Where a matrix begins, and how many elements a row is from the next."""
    if x.dtype != np.float32 or (x.shape[1] > 1 and x.strides[1] != x.itemsize):
        raise ValueError(f"a BLAS cannot read rows of {x.dtype} that step by {x.strides[1]} bytes")
    step = x.strides[0] // x.itemsize if len(x) > 1 else 0
    return x.ctypes.data, max(step, x.shape[1])  # of a dimension of size 1 the stride may be any number


@functools.cache
def _blas(name: str, letters: str) -> Callable[..., None] | None:
    """A function of the BLAS that mlx calls too: another one would have threads of its own, which wait in
    loops. `letters`: i for a whole number, f for a factor, a for an array's place. None where cpu.backend
    has loaded none: then numpy's own has to do."""
    try:
        function = ctypes.CDLL(None)[name]
    except AttributeError:
        return None
    kinds: dict[str, Any] = {"i": ctypes.c_int, "f": ctypes.c_float, "a": ctypes.c_void_p}
    function.argtypes, function.restype = [kinds[letter] for letter in letters], None
    return cast(Callable[..., None], function)
