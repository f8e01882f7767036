"""`ominix rm`: delete a model, or what a download has left. Refuses while any server has it loaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli import terminal
from ominix.cli.flags import Flags
from ominix.errors import Conflict, ModelNotFound, OminixError, Unavailable
from ominix.library import removal
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.folders import Folders
from ominix.library.model import BUILT_IN, printable
from ominix.library.records import Records

EXAMPLES = """
  ominix rm whisper-base
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", metavar="MODEL")
    Flags(parser, environ).aliases()


def run(*, home: Path, model: str, aliases: Sequence[tuple[str, str]]) -> int:
    folders, records = Folders(home), Records(home)
    try:
        catalog = Catalog(folders.models, dict(aliases), records=records, embedded=EMBEDDED)
        found = _folder_name(catalog, records, model)
        removal.delete(found, folders, records)
    except OminixError as error:
        terminal.complain(error.message)
        return 1
    terminal.say(f"{printable(found)} is deleted.")
    return 0


def _folder_name(catalog: Catalog, records: Records, name: str) -> str:
    """Of a model, or of a download that is not one yet. Raises ModelNotFound, Conflict."""
    try:
        found = catalog.exact(name)
        if found.origin == BUILT_IN:
            raise Conflict(f"{found.id} is built in: it stays.")
        return found.folder_name
    except (ModelNotFound, Unavailable):
        meant = catalog.repository(name)
        pending = [key for key, record in records.all().items() if meant in (key, record.repo_id)]
        if not pending:
            raise
        return pending[0]
