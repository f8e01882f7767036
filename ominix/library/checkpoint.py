"""A model's folder as it lies on the disk: its config.json and the sizes of its files; never its weights.

A stranger's folder: it may hold anything, and as much of it as a disk takes. So all that is read has a bound.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix.library import small_file

MAX_CONFIG_BYTES = 4 << 20
MAX_FILES = 10_000  # a repository of models has a few dozen
MAX_WEIGHT_FILES = 1_000
MAX_BITS, MAX_GROUP_SIZE = 64, 1 << 20
CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
WEIGHTS = ("weights.npz", "model.bin")  # beside *.safetensors; few families read them


@dataclass(frozen=True)
class Checkpoint:
    config: Mapping[str, Any]  # {} when it cannot be read
    generation: Mapping[str, Any]  # generation_config.json; {} likewise
    size_bytes: int
    created: int  # seconds since the epoch
    trouble: str | None  # what is wrong with the folder
    newest: str  # the file that changed last; "" for none

    @property
    def quantization(self) -> tuple[int, int] | None:
        """Bits and group size."""
        found = self.config.get("quantization") or self.config.get("quantization_config")
        if not isinstance(found, dict):
            return None
        bits, group_size = found.get("bits"), found.get("group_size")
        if type(bits) is not int or type(group_size) is not int:  # True is an int
            return None
        return (bits, group_size) if 0 < bits <= MAX_BITS and 0 < group_size <= MAX_GROUP_SIZE else None


class _Trouble(Exception):
    """What is wrong, for people."""


def read(path: Path) -> Checkpoint:
    config: Mapping[str, Any] = {}
    files: dict[str, os.stat_result] = {}
    trouble = None
    try:
        files = _files(path)
        config = _config(path / CONFIG)
        _check_weights(files)
    except _Trouble as error:
        trouble = str(error)
    size_bytes = sum(found.st_size for found in files.values())
    newest = max(files, key=lambda name: files[name].st_ctime_ns, default="")
    return Checkpoint(
        config, _generation(path / GENERATION_CONFIG), size_bytes, _created(path), trouble, newest
    )


def _files(path: Path) -> dict[str, os.stat_result]:
    """By name, links resolved; without what cannot be looked at, and hidden ones (Finder leaves `._NAME`)."""
    found = {}
    try:
        with os.scandir(path) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_FILES:
                    raise _Trouble(f"it holds more than {MAX_FILES:,} files")
                with contextlib.suppress(OSError):
                    if not entry.name.startswith(".") and entry.is_file():
                        found[entry.name] = entry.stat()
    except OSError as error:
        raise _Trouble(f"its folder cannot be read ({_reason(error)})") from None
    return found


def _config(file: Path) -> Mapping[str, Any]:
    try:
        config = _parsed(small_file.read(file, MAX_CONFIG_BYTES))
    except FileNotFoundError:
        raise _Trouble("it has no config.json") from None
    except OSError as error:
        raise _Trouble(f"its config.json cannot be read ({_reason(error)})") from None
    except ValueError as error:
        raise _Trouble(f"its config.json {error}") from None
    if not isinstance(config, dict):
        raise _Trouble("its config.json is not a JSON object")
    return config


def _generation(file: Path) -> Mapping[str, Any]:
    """It holds wishes alone: a model without them can be served."""
    with contextlib.suppress(OSError, ValueError):
        config = _parsed(small_file.read(file, MAX_CONFIG_BYTES))
        return config if isinstance(config, dict) else {}
    return {}


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("cannot be read as JSON") from None


def _check_weights(files: Mapping[str, os.stat_result]) -> None:
    count = sum(name.endswith(".safetensors") or name in WEIGHTS for name in files)
    if not count:
        raise _Trouble("it has no .safetensors files")
    if count > MAX_WEIGHT_FILES:
        raise _Trouble(f"it has more than {MAX_WEIGHT_FILES:,} files of weights")


def _reason(error: OSError) -> str:
    """Without the path, which clients are not to learn."""
    return error.strerror or type(error).__name__


def _created(path: Path) -> int:
    try:
        return max(0, int(path.stat().st_mtime))
    except OSError:
        return 0
