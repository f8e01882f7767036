"""`ominix rm`: delete a model, or what a download has left. Refuses while any server has it loaded."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli.flags import Flags
from ominix.errors import ModelNotFound, OminixError, Unavailable
from ominix.library import removal
from ominix.library.catalog import Catalog
from ominix.library.folders import Folders
from ominix.library.model import printable
from ominix.library.records import Records


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", metavar="MODEL")
    Flags(parser, environ).aliases()


def run(*, home: Path, model: str, aliases: Sequence[tuple[str, str]]) -> int:
    folders, records = Folders(home), Records(home)
    try:
        found = _folder_name(Catalog(folders.models, dict(aliases), records=records), records, model)
        removal.delete(found, folders, records)
    except OminixError as error:
        print(f"ominix: {error.message}", file=sys.stderr)
        return 1
    print(f"{printable(found)} is deleted.")
    return 0


def _folder_name(catalog: Catalog, records: Records, name: str) -> str:
    """Of a model, or of a download that is not one yet. Raises ModelNotFound."""
    try:
        return catalog.exact(name).folder_name
    except (ModelNotFound, Unavailable):
        meant = catalog.repository(name)
        found = [key for key, record in records.all().items() if meant in (key, record.repo_id)]
        if not found:
            raise
        return found[0]
