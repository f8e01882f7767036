"""CTranslate2's model.bin of a Whisper model, which faster-whisper reads: float arrays under our names.

Little-endian, nothing is aligned: u32 version, the specification's name, u32 revision, u32 count, then for
each variable its name, u8 rank, u32 dimensions, u8 type, u32 bytes, data; at last aliases. A string is a
u16 length, which counts the NUL at its end, and its bytes. Sizes come from strangers: each is checked
against what is left.

Linear layers that read the same input are fused (query, key, value; key, value). int8 and int16 come with
scales: a weight is its integer divided by the scale of its row, or of the whole array.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ominix.models.weights import Weights
from ominix.models.whisper.config import Config, alignment_heads

Array = npt.NDArray[np.generic]
Variables = dict[str, Array]

_VERSIONS = range(4, 7)  # older ones describe a variable's type in another way
_NAME = "WhisperSpec"
_MOST_VARIABLES = 1 << 16
_MOST_DIMENSIONS = 3
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", 5: "bfloat16"}

_PARTS = {
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_1": "attn.out",
    "attention/layer_norm": "cross_attn_ln",
    "attention/linear_0": "cross_attn.query",
    "attention/linear_2": "cross_attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp1",
    "ffn/linear_1": "mlp2",
}
_FUSED = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
}
_LEAVES = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
_OUTER = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}
_COMPUTED = "encoder/position_encodings/encodings"
_LAYER = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(gamma|beta|weight|bias)")


def load(folder: Path) -> tuple[Config, Weights]:
    """Raises ValueError for a file that is broken or holds something else."""
    path = folder / "model.bin"
    variables = read(path)
    weights: Weights = {}
    for name, array in variables.items():
        if array.ndim and name != _COMPUTED and not name.endswith("_scale"):
            whole = _floats(path, name, array, variables.get(f"{name}_scale"))
            weights |= {ours: mx.array(part) for ours, part in _renamed(name, whole)}
    return _config(folder, variables, weights), weights


def read(path: Path) -> Variables:
    """All variables of the file, still as they are stored; they share the file's memory map."""
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError(f"{path} is empty") from None
    reader = _Reader(path, content)
    version = reader.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"{path} is no CTranslate2 file of a known version: {version}")
    if (name := reader.string()) != _NAME:
        raise ValueError(f"{path} holds {name!r}, not a Whisper model")
    reader.number("I")  # the specification's revision: 3 since the first release with Whisper
    count = reader.number("I")
    if count > _MOST_VARIABLES:
        raise ValueError(f"{path}: {count} variables are too many")
    variables = dict(reader.variable() for _ in range(count))
    for _ in range(reader.number("I")):
        alias, meant = reader.string(), reader.string()
        if alias != "decoder/projection/weight" and meant in variables:
            variables[alias] = variables[meant]
    if reader.left:
        raise ValueError(f"{path}: {reader.left} bytes follow the last alias")
    return variables


class _Reader:
    """A cursor that never leaves the file."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def number(self, form: str) -> int:
        """One unsigned number: B, H or I as in `struct`."""
        return int(struct.unpack(f"<{form}", self._bytes(struct.calcsize(form)))[0])

    def string(self) -> str:
        return bytes(self._bytes(self.number("H"))).removesuffix(b"\0").decode("utf-8", "replace")

    def variable(self) -> tuple[str, Array]:
        name, rank = self.string(), self.number("B")
        if rank > _MOST_DIMENSIONS:
            raise ValueError(f"{self._path}: {name} has {rank} dimensions")
        shape = tuple(self.number("I") for _ in range(rank))
        kind, size = self.number("B"), self.number("I")
        if kind not in _TYPES:
            raise ValueError(f"{self._path}: {name} has the unknown type {kind}")
        is_bfloat = _TYPES[kind] == "bfloat16"  # numpy has none: its bits are the upper half of a float32's
        dtype = np.dtype("<u2" if is_bfloat else _TYPES[kind])
        if prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{self._path}: {name} has {size} bytes, which is not {shape} of {dtype}")
        array = np.frombuffer(self._bytes(size), dtype).reshape(shape)
        return name, (array.astype(np.uint32) << 16).view(np.float32) if is_bfloat else array

    def _bytes(self, count: int) -> memoryview:
        if count > self.left:
            raise ValueError(f"{self._path} ends too early: {count} bytes wanted, {self.left} left")
        self._at += count
        return memoryview(self._content)[self._at - count : self._at]


def _floats(path: Path, name: str, array: Array, scale: Array | None) -> Array:
    if array.dtype.kind == "f":
        return array
    if scale is None or scale.size not in (1, array.shape[0]):
        raise ValueError(f"{path}: {name} is quantized, but has no scales that fit")
    rows = scale.reshape(-1, *[1] * (array.ndim - 1)).astype(np.float32)
    floats: npt.NDArray[np.float32] = array.astype(np.float32) / rows
    return floats.astype(np.float16)  # at least as fine as the integers were


def _renamed(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    """A variable as one or several of our arrays; unknown ones keep their names, for the check."""
    layer = _LAYER.fullmatch(name)
    if name in _OUTER:
        is_convolution = array.ndim == 3  # (out, in, 3) -> (out, 3, in)
        yield _OUTER[name], array.swapaxes(1, 2) if is_convolution else array
    elif layer and layer[3] in _PARTS:
        yield f"{layer[1]}.blocks.{layer[2]}.{_PARTS[layer[3]]}.{_LEAVES[layer[4]]}", array
    elif layer and layer[3] in _FUSED and array.shape[0] % len(_FUSED[layer[3]]) == 0:
        parts = _FUSED[layer[3]]
        for part, rows in zip(parts, np.split(array, len(parts)), strict=True):
            if not (part.endswith("key") and layer[4] == "bias"):  # zeros: Whisper's keys have none
                yield f"{layer[1]}.blocks.{layer[2]}.{part}.{layer[4]}", rows
    else:
        yield name, array


def _config(folder: Path, variables: Variables, weights: Weights) -> Config:
    """Measured on the arrays; only the number of heads stands in the file."""
    try:
        n_audio_state, _, n_mels = weights["encoder.conv1.weight"].shape
        n_vocab, n_text_state = weights["decoder.token_embedding.weight"].shape
        return Config(
            n_mels=n_mels,
            n_audio_ctx=variables[_COMPUTED].shape[0],
            n_audio_state=n_audio_state,
            n_audio_head=int(variables["encoder/num_heads"].item()),
            n_audio_layer=_layers(weights, "encoder"),
            n_vocab=n_vocab,
            n_text_ctx=weights["decoder.positional_embedding"].shape[0],
            n_text_state=n_text_state,
            n_text_head=int(variables["decoder/num_heads"].item()),
            n_text_layer=_layers(weights, "decoder"),
            alignment_heads=alignment_heads(folder),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{folder / 'model.bin'} is no whole Whisper model: {error}") from error


def _layers(weights: Weights, side: str) -> int:
    numbers = (re.match(rf"{side}\.blocks\.(\d+)\.", name) for name in weights)
    return 1 + max((int(found[1]) for found in numbers if found), default=-1)
