"""`ominix import-ct2 SOURCE...`: faster-whisper's model becomes one of ours, in a process of its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli import converter, terminal
from ominix.errors import Conflict, InvalidRequest
from ominix.library.folders import Folders
from ominix.library.names import new_id

EXAMPLES = """
  ominix import-ct2 ~/faster-whisper-small --name whisper-small
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE",
        help="a folder with CTranslate2's model.bin of a Whisper model, or the parts of a model.bin in order",
    )  # fmt: skip
    parser.add_argument("--name", help="the model's name; default: the folder's")


def run(*, home: Path, sources: Sequence[Path], name: str | None) -> int:
    folders = Folders(home)
    first = sources[0].resolve()
    try:
        folder = folders.final(new_id(name or (first.parent if first.is_file() else first).name, folders))
    except (InvalidRequest, Conflict) as error:
        terminal.complain(f"{error.message}; choose another name with --name")
        return 1
    if not converter.are_readable(sources):
        return 1
    return converter.run("ct2", *map(str, sources), str(folder))
