"""`ominix quantize SOURCE TARGET --bits 8|4`: a smaller copy of a chat model, made in its own process."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ominix.cli import converter, terminal
from ominix.errors import Conflict, InvalidRequest
from ominix.families.table import KNOWN
from ominix.library import checkpoint
from ominix.library.folders import Folders
from ominix.library.names import new_id

EXAMPLES = """
  ominix quantize my-model my-model-4bit --bits 4
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("source", help="a model's name or folder")
    parser.add_argument("target", help="the new model's name or folder")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8)


def run(*, home: Path, source: str, target: str, bits: int) -> int:
    """A bare name means a model of the models folder."""
    folders = Folders(home)
    original, copy = (_folder(folders.models, text) for text in (source, target))
    if not (original / "config.json").is_file():
        terminal.complain(f"{original} is not a model's folder")
        return 1
    try:
        _check(copy, folders)
    except (InvalidRequest, Conflict) as error:
        terminal.complain(f"{error.message}; choose another target")
        return 1
    found = checkpoint.read(original)
    trouble = _trouble(found.config)
    if trouble:
        terminal.complain(f"{original.name} {trouble}")
        return 1
    copy.parent.mkdir(parents=True, exist_ok=True)
    package = KNOWN.claiming(found.config).package
    status = converter.run("quantize", str(original), str(copy), str(bits), package)
    if status == 0:
        terminal.say(f"{original.name} -> {copy}, {bits} bits")
    return status


def _trouble(config: Mapping[str, Any]) -> str | None:
    """Why a model with this config.json cannot become a smaller one; None: it may."""
    known = config.get("quantization") or config.get("quantization_config")
    if known:
        bits = known.get("bits") if isinstance(known, dict) else None
        said = f", to {bits} bits" if isinstance(bits, int) else ""
        return f"is quantized already{said}: what that has lost does not come back; quantize the original"
    family = KNOWN.claiming(config)
    if family.abilities and "chat" not in family.abilities:
        return f"is no chat model ({family.task}); only those are quantized here"
    return None


def _folder(models: Path, text: str) -> Path:
    is_name = "/" not in text and not text.startswith((".", "~"))
    return models / text if is_name else Path(text).expanduser().absolute()


def _check(target: Path, folders: Folders) -> None:
    """Raises InvalidRequest for a name that could not be asked for, Conflict for a target that is there."""
    if target.parent.resolve() == folders.models.resolve():
        new_id(target.name, folders)
    elif target.exists():
        raise Conflict(f"{target} is there already")
