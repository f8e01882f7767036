"""`ominix quantize SOURCE TARGET --bits 8|4`: a smaller copy of a chat model, made in its own process."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from ominix.cli import converter
from ominix.errors import Conflict, InvalidRequest
from ominix.families.table import KNOWN
from ominix.library import checkpoint
from ominix.library.folders import Folders
from ominix.library.names import new_id


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("source", help="a model's name or folder")
    parser.add_argument("target", help="the new model's name or folder")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8)


def run(*, home: Path, source: str, target: str, bits: int) -> int:
    """A bare name means a model of the models folder."""
    folders = Folders(home)
    original, copy = (_folder(folders.models, text) for text in (source, target))
    if not (original / "config.json").is_file():
        print(f"ominix: {original} is not a model's folder", file=sys.stderr)
        return 1
    try:
        _check(copy, folders)
    except (InvalidRequest, Conflict) as error:
        print(f"ominix: {error.message}; choose another target", file=sys.stderr)
        return 1
    copy.parent.mkdir(parents=True, exist_ok=True)
    package = KNOWN.claiming(checkpoint.read(original).config).package
    status = converter.run("quantize", str(original), str(copy), str(bits), package)
    if status == 0:
        print(f"{original.name} -> {copy}, {bits} bits")
    return status


def _folder(models: Path, text: str) -> Path:
    is_name = "/" not in text and not text.startswith((".", "~"))
    return models / text if is_name else Path(text).expanduser().absolute()


def _check(target: Path, folders: Folders) -> None:
    """Raises InvalidRequest for a name that could not be asked for, Conflict for a target that is there."""
    if target.parent.resolve() == folders.models.resolve():
        new_id(target.name, folders)
    elif target.exists():
        raise Conflict(f"{target} is there already")
