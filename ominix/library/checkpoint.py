"""A model's folder as it lies on the disk: its config.json and the sizes of its files; never its weights.

Every request reads every folder, so a config.json is parsed once and again only when it has changed.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_CONFIG_BYTES = 4 << 20
WEIGHTS = ("weights.npz", "model.bin")  # beside *.safetensors; few families read them


@dataclass(frozen=True)
class Checkpoint:
    config: dict[str, Any]  # not to be changed; {} when it cannot be read
    size_bytes: int
    created: int  # seconds since the epoch
    trouble: str | None  # what is wrong with the folder

    @property
    def quantization(self) -> tuple[int, int] | None:
        """Bits and group size."""
        found = self.config.get("quantization") or self.config.get("quantization_config")
        if not isinstance(found, dict):
            return None
        bits, group_size = found.get("bits"), found.get("group_size")
        return (bits, group_size) if type(bits) is int and type(group_size) is int else None  # True is an int


def read(path: Path) -> Checkpoint:
    files, config = _files(path), {}
    try:
        config = _config(path / "config.json", files.get("config.json"))
        weights = any(name.endswith(".safetensors") or name in WEIGHTS for name in files)
        trouble = None if weights else "it has no .safetensors files"
    except (OSError, ValueError, RecursionError) as error:
        trouble = f"its config.json cannot be read ({type(error).__name__})"  # the error would name its path
    return Checkpoint(config, sum(found.st_size for found in files.values()), _created(path), trouble)


def _files(path: Path) -> dict[str, os.stat_result]:
    """By name, links resolved; without what cannot be looked at."""
    found = {}
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file():
                    found[entry.name] = entry.stat()
    return found


def _config(file: Path, found: os.stat_result | None) -> dict[str, Any]:
    if found is None:
        raise FileNotFoundError
    if found.st_size > MAX_CONFIG_BYTES:
        raise ValueError("config.json is too large")
    return _parsed(file, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=256)
def _parsed(file: Path, *version: int) -> dict[str, Any]:
    """`version`: what differs when the file's content does."""
    config = json.loads(file.read_text("utf-8"))
    if not isinstance(config, dict):
        raise ValueError("config.json is not an object")
    return config


def _created(path: Path) -> int:
    try:
        return max(0, int(path.stat().st_mtime))
    except OSError:
        return 0
