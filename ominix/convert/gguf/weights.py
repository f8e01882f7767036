"""The arrays of a GGUF file whose head has been checked, by mlx's own reader.

In: a file and its Container. Out: arrays under the file's names; a quantized `x.weight` with `x.scales` and
`x.biases` beside it, in groups of 32 weights.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np

from ominix.convert.gguf.container import Container, Tensor
from ominix.errors import InvalidRequest


def read(path: Path, container: Container) -> dict[str, mx.array]:
    try:
        loaded = mx.load(str(path), format="gguf")
    except (RuntimeError, ValueError) as error:
        raise InvalidRequest(f"{path.name} cannot be read as GGUF: {error}") from error
    assert isinstance(loaded, dict)  # an array comes of other formats alone
    bfloats = {
        name: _bfloat16(path, tensor)
        for name, tensor in container.tensors.items()
        if tensor.type.name == "BF16"
    }
    return loaded | bfloats


def _bfloat16(path: Path, tensor: Tensor) -> mx.array:
    """Without loss: mx.load makes float16 of it, whose range is smaller."""
    return mx.array(np.memmap(path, "<u2", "r", tensor.offset, tensor.shape)).view(mx.bfloat16)
