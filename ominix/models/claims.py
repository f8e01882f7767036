"""What a model's folder says of itself, held against its files' sizes, before anything is built or allocated.

A stranger's folder may claim anything: 10^12 layers, a vocabulary that no file holds, arrays that lie on each
other, a header as long as the disk. What cannot be true is refused in a sentence. Reads the headers of
.safetensors files and config.json, no weights; knows no model and no mlx.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

MAX_HEADER_BYTES = 32 << 20  # of all files together; 91,000 arrays take 11 MiB
MAX_JSON_BYTES = 128 << 20  # the largest tokenizer.json of a known model has 33 MB
MAX_DIMENSIONS = 16
MAX_DEPTH = 8  # levels of config.json
LEAST_BITS = 1  # of a parameter
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
# Numbers in config.json, in the spelling of transformers and of openai-whisper.
LAYERS = ("layers", "n_layer", "n_audio_layer", "n_text_layer")  # each has an array at least
VOCABULARIES = ("vocab_size", "n_vocab")
WIDTHS = ("hidden_size", "d_model", "n_embd", "n_text_state", "n_audio_state")
OTHERS = ("intermediate_size", "_dim", "heads", "_head", "experts")  # endings
MOST = 1 << 24  # of any of them


# Finder writes `._model.safetensors` beside a copy on a disk that is not its own: not a file of the model.
SHOWN = "[!.]*"


class _Array(Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def check(folder: Path) -> None:
    """Raises ValueError, naming what cannot be true."""
    for file in folder.glob(SHOWN + ".json"):
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{file.name} is larger than {MAX_JSON_BYTES >> 20} MiB")
    header_bytes, arrays = 0, 0
    files = sorted(folder.glob(SHOWN + ".safetensors"))
    for file in files:
        found, size = _header(file, MAX_HEADER_BYTES - header_bytes)
        header_bytes += size
        arrays += found
    weights = [file for suffix in ("safetensors", "npz", "bin") for file in folder.glob(f"{SHOWN}.{suffix}")]
    size_bytes = sum(file.stat().st_size for file in weights)
    is_counted = len(files) == len(weights)
    _check_config(folder / "config.json", arrays if is_counted else None, size_bytes)


def _header(file: Path, most_bytes: int) -> tuple[int, int]:
    """How many arrays the file has, and its header's size."""
    whole = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else whole
        if size > whole - 8:
            raise ValueError(f"{file.name} is cut, or no safetensors file: its header does not fit into it")
        if size > most_bytes:
            raise ValueError(f"{file.name}: all headers are larger than {MAX_HEADER_BYTES >> 20} MiB")
        text = opened.read(size)
    try:
        entries = msgspec.json.decode(text, type=dict[str, Raw])
        entries.pop("__metadata__", None)
        arrays = {name: msgspec.json.decode(entry, type=_Array) for name, entry in entries.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file.name}: its header cannot be read ({error})") from None
    _check_arrays(file.name, arrays, whole - 8 - size)
    return len(arrays), 8 + size


def _check_arrays(name: str, arrays: dict[str, _Array], data_bytes: int) -> None:
    end_before, before = 0, ""
    for label, array in sorted(arrays.items(), key=lambda item: item[1].data_offsets):
        begin, end = array.data_offsets
        shown = f"{name}: the array {label[:100]!r}"
        if not 0 <= begin <= end <= data_bytes:
            raise ValueError(f"{shown} lies outside the file")
        if begin < end_before and begin < end:
            raise ValueError(f"{shown} lies on the array {before[:100]!r}")
        if len(array.shape) > MAX_DIMENSIONS:
            raise ValueError(f"{shown} has {len(array.shape)} dimensions")
        bits = BITS.get(array.dtype)
        if min(array.shape, default=1) < 0 or (bits and math.prod(array.shape) * bits != (end - begin) * 8):
            raise ValueError(f"{shown} has another size than its shape says")
        end_before, before = max(end, end_before), label


def _check_config(file: Path, arrays: int | None, size_bytes: int) -> None:
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return  # who needs it says so
    for level in _levels(config, MAX_DEPTH):
        for name, value in _numbers(level):
            is_layers = name.endswith(LAYERS)
            known = is_layers or name in (*VOCABULARIES, *WIDTHS) or name.endswith(OTHERS)
            if known and abs(value) > MOST:
                raise ValueError(f"{name} in config.json is {str(value)[:24]}: no model is so large")
            if is_layers and arrays is not None and value > arrays:
                raise ValueError(f"{name} in config.json is {value}, but the weights are {arrays} arrays")
        rows = max((value for name, value in _numbers(level) if name in VOCABULARIES), default=0)
        width = max((value for name, value in _numbers(level) if name in WIDTHS), default=0)
        if rows * width * LEAST_BITS > size_bytes * 8:
            raise ValueError(f"config.json says {rows} tokens of {width} numbers: the files cannot hold that")


def _levels(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if not isinstance(value, dict) or not depth:
        return
    yield value
    for inner in value.values():
        yield from _levels(inner, depth - 1)


def _numbers(level: dict[str, Any]) -> list[tuple[str, int | float]]:
    return [(name, v) for name, v in level.items() if isinstance(v, int | float) and not isinstance(v, bool)]
