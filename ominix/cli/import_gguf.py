"""`ominix import-gguf FILE`: a GGUF file becomes a model folder. A process of its own reads the file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from ominix.cli import converter, terminal
from ominix.errors import Conflict, InvalidRequest
from ominix.library.folders import Folders
from ominix.library.names import new_id

EXAMPLES = """
  ominix import-gguf SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("file", type=Path, help="a GGUF file of the llama family")
    parser.add_argument("--name", help="the model's name; default: the file's")


def run(*, home: Path, file: Path, name: str | None) -> int:
    folders = Folders(home)
    try:
        folder = folders.final(new_id(name or file.stem, folders))
    except (InvalidRequest, Conflict) as error:
        terminal.complain(f"{error.message}; choose another name with --name")
        return 1
    if not converter.are_readable([file]):
        return 1
    folders.models.mkdir(parents=True, exist_ok=True)
    return converter.run("gguf", str(file), str(folder))
