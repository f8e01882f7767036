"""ggml's blocks as mlx arrays, without loss: Q4_0, Q4_1 and Q8_0 are affine groups of 32 weights.

Block layouts: ggml's ggml-common.h. A Q4 block keeps weight i in the low half of byte i and weight
i + 16 in the high one; mlx packs weights in order into little-endian uint32 words.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from ominix.convert.gguf.container import Tensor

GROUP = 32  # weights that share a scale and a bias


def bits(tensor: Tensor) -> int | None:
    """Bits a weight once in mlx's affine form; None for plain floats."""
    return {"Q4_0": 4, "Q4_1": 4, "Q8_0": 8}.get(tensor.type.name)


def arrays(name: str, tensor: Tensor) -> dict[str, mx.array]:
    """The tensor under mlx-lm's names: `x.weight` alone, or with `x.scales` and `x.biases`."""
    if bits(tensor) is None:
        return {name: _plain(tensor)}
    blocks = np.frombuffer(tensor.data, np.uint8).reshape(*tensor.shape[:-1], -1, tensor.type.bytes)
    weight, scales, biases = _AFFINE[tensor.type.name](blocks)
    stem = name.removesuffix(".weight")
    packed = np.ascontiguousarray(weight).reshape(*tensor.shape[:-1], -1).view("<u4")
    return {
        name: mx.array(packed),
        f"{stem}.scales": mx.array(scales),
        f"{stem}.biases": mx.array(biases),
    }


def _plain(tensor: Tensor) -> mx.array:
    if tensor.type.name == "BF16":
        raw = np.frombuffer(tensor.data, "<u2").reshape(tensor.shape)
        return mx.array(raw).view(mx.bfloat16)
    form = {"F32": "<f4", "F16": "<f2"}[tensor.type.name]
    return mx.array(np.frombuffer(tensor.data, form).reshape(tensor.shape))


_Parts = tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float16]]


def _q4_0(blocks: NDArray[np.uint8]) -> _Parts:
    scale = _half(blocks, 0)
    return _in_order(blocks[..., 2:]), scale, -8 * scale  # w = scale * (q - 8)


def _q4_1(blocks: NDArray[np.uint8]) -> _Parts:
    return _in_order(blocks[..., 4:]), _half(blocks, 0), _half(blocks, 2)  # w = scale * q + bias


def _q8_0(blocks: NDArray[np.uint8]) -> _Parts:
    scale = _half(blocks, 0)
    # w = scale * q with q signed; mlx's q counts from 0, so 128 more
    return blocks[..., 2:] ^ np.uint8(0x80), scale, -128 * scale


_AFFINE: dict[str, Callable[[NDArray[np.uint8]], _Parts]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q8_0": _q8_0,
}


def _in_order(nibbles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., 16) bytes in ggml's order -> (..., 16) bytes, two neighbouring weights in each."""
    q = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1)  # (..., 32)
    even, odd = q[..., 0::2], q[..., 1::2]
    return np.asarray(even | odd << 4, dtype=np.uint8)


def _half(blocks: NDArray[np.uint8], at: int) -> NDArray[np.float16]:
    return np.ascontiguousarray(blocks[..., at : at + 2]).view("<f2")[..., 0]
