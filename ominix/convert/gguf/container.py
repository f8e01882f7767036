"""The head of a GGUF file: its metadata, and types, shapes and places of its tensors.

Format: the GGUF specification, versions 2 and 3, little-endian. Every length and offset is checked
against the file before it is used, so that a damaged or hostile file ends in InvalidRequest. Knows
nothing of models.

The weights are read by `mx.load` (weights.py), the head by us, for these reasons (mlx 0.32.4, gguf 0.19.0,
SmolLM2-135M as Q4_1, on a two-core CPU):
- mx.load dies of SIGSEGV if the head claims 2**64 tensors or a name of 2**63 bytes.
- mx.load does not say what type a tensor was, and its Q4_K is wrong: every second group of 32 weights
  differs from ggml's by as much as the largest weight. So types must be known, and refused, before it.
- The `gguf` package takes 7 s to open the file, twenty times as long as this module, and needs requests and
  PyYAML. It reads K-quants rightly, but as float32: four to eight times their size.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix.errors import InvalidRequest

ALIGNMENT = 32  # bytes; the specification's default, which all known writers use

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MOST_ENTRIES = 100_000  # metadata keys or tensors; real files have hundreds


@dataclass(frozen=True)
class BlockType:
    """How many weights share a block and how many bytes it takes.

    ggml's Q4_0, Q4_1 and Q8_0 are affine: mlx holds them without loss.
    """

    name: str
    weights: int
    bytes: int
    bits: int | None = None  # of a weight in mlx's affine form, groups of 32; None: plain floats


# The numbers are ggml's; types that are not here are refused by name or number.
BLOCK_TYPES = {
    0: BlockType("F32", 1, 4),
    1: BlockType("F16", 1, 2),
    2: BlockType("Q4_0", 32, 18, bits=4),
    3: BlockType("Q4_1", 32, 20, bits=4),
    8: BlockType("Q8_0", 32, 34, bits=8),
    30: BlockType("BF16", 1, 2),
}
_NAMES = {
    6: "Q5_0",
    7: "Q5_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
}


@dataclass(frozen=True)
class Tensor:
    """`shape` is row-major: (rows, columns). `offset`: bytes from the start of the file."""

    type: BlockType
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Container:
    metadata: dict[str, Any]  # scalars, strings and lists of them
    tensors: dict[str, Tensor]


def read(path: Path) -> Container:
    """Map the file. Raises InvalidRequest for what is no GGUF file that can be read."""
    with path.open("rb") as file:
        if path.stat().st_size < 24:
            raise InvalidRequest(f"{path.name} is not a GGUF file: it has fewer than 24 bytes")
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _Reader(path.name, memory).container()


@dataclass(frozen=True)
class _Header:
    name: str
    shape: tuple[int, ...]
    kind: int  # ggml's number of the block type
    offset: int  # from where the tensors begin


class _Reader:
    """A place in the file's bytes that moves forward."""

    def __init__(self, name: str, memory: memoryview) -> None:
        self._name = name
        self._memory = memory
        self._at = 0

    def container(self) -> Container:
        if bytes(self._take(4)) != b"GGUF":
            raise self._error("it does not begin with the letters GGUF")
        version = self._number("I")
        if version not in (2, 3):
            raise self._error(f"version {version} is not 2 or 3")
        n_tensors, n_entries = self._count(), self._count()
        metadata = dict(self._entry() for _ in range(n_entries))
        headers = [self._tensor_header() for _ in range(n_tensors)]
        if len({h.name for h in headers}) < n_tensors:
            raise self._error("two of its tensors have one name")
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if alignment != ALIGNMENT:
            raise self._error(f"its alignment is {alignment!r}; supported is {ALIGNMENT}")
        start = math.ceil(self._at / ALIGNMENT) * ALIGNMENT
        return Container(metadata, {h.name: self._tensor(h, start + h.offset) for h in headers})

    def _entry(self) -> tuple[str, Any]:
        return self._string(), self._value(self._number("I"))

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(self._number("I"), self._number("Q"))
        raise self._error(f"metadata of type {kind}")

    def _array(self, kind: int, length: int) -> list[Any]:
        if kind in _SCALARS:
            form = struct.Struct(f"<{_SCALARS[kind]}")
            return [x for (x,) in form.iter_unpack(self._take(length * form.size))]
        if kind != _STRING:
            raise self._error(f"an array of type {kind}")
        if length > len(self._memory) // 8:  # a string takes 8 bytes at least
            raise self._error(f"an array of {length} strings")
        return [self._string() for _ in range(length)]

    def _tensor_header(self) -> _Header:
        name, dimensions = self._string(), self._number("I")
        if not 1 <= dimensions <= 4:
            raise self._error(f"tensor {name!r} has {dimensions} dimensions")
        columns_first = tuple(self._number("Q") for _ in range(dimensions))
        return _Header(name, columns_first[::-1], self._number("I"), self._number("Q"))

    def _tensor(self, header: _Header, start: int) -> Tensor:
        name, shape = header.name, header.shape
        if header.kind not in BLOCK_TYPES:
            known = ", ".join(block.name for block in BLOCK_TYPES.values())
            title = _NAMES.get(header.kind, f"number {header.kind}")
            raise self._error(f"tensor {name!r} is of type {title}; supported are {known}")
        block = BLOCK_TYPES[header.kind]
        if math.prod(shape) == 0 or shape[-1] % block.weights:
            raise self._error(f"tensor {name!r} of type {block.name} has the shape {shape}")
        end = start + math.prod(shape) // block.weights * block.bytes
        if end > len(self._memory):
            raise self._error(f"tensor {name!r} reaches beyond the end of the file")
        return Tensor(block, shape, start)

    def _string(self) -> str:
        try:
            return str(self._take(self._number("Q")), "utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"a string at byte {self._at} is not UTF-8") from error

    def _count(self) -> int:
        count: int = self._number("Q")
        if count > _MOST_ENTRIES:
            raise self._error(f"it claims {count} entries")
        return count

    def _number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))[0]

    def _take(self, size: int) -> memoryview:
        if size > len(self._memory) - self._at:
            raise self._error(f"it ends at byte {len(self._memory)}, in the middle of something")
        self._at += size
        return self._memory[self._at - size : self._at]

    def _error(self, message: str) -> InvalidRequest:
        return InvalidRequest(f"{self._name} cannot be read as GGUF: {message}")
