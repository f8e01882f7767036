"""`ominix list`: the models here and those on their way, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli import table, terminal
from ominix.cli.flags import Flags
from ominix.cli.table import size
from ominix.families.table import recommended
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.downloads import Downloads
from ominix.library.folders import Folders
from ominix.library.model import BUILT_IN, Model
from ominix.library.progress import Download
from ominix.library.records import Records

HEAD = ("NAME", "TASK", "SIZE", "BITS", "STATE")

EXAMPLES = """
  ominix list
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    Flags(parser, environ).aliases()


def run(*, home: Path, aliases: Sequence[tuple[str, str]]) -> int:
    folders, records = Folders(home), Records(home)
    catalog = Catalog(folders.models, dict(aliases), records=records, embedded=EMBEDDED)
    models = catalog.models()
    rows = [_row(model, folders) for model in models]
    rows += [_pending(download) for download in Downloads(home).all() if download.state != "ready"]
    table.show(HEAD, rows)
    if not any(model.engine and model.origin != BUILT_IN for model in models):
        terminal.say(
            "\nThe built-in models are for trying things out. A real one for speech:\n"
            f"'ominix pull {recommended('transcribe')}'; 'ominix models' lists others."
        )
    return 0


def _row(model: Model, folders: Folders) -> tuple[str, ...]:
    state = "built in" if model.origin == BUILT_IN else "ready"
    if model.trouble:
        state = f"not servable: {model.trouble}"
    if folders.in_use(model.folder_name):
        state = "loaded"
    bits = str(model.quantization[0]) if model.quantization else "-"
    return (model.id, model.task, size(model.size_bytes), bits, state)


def _pending(download: Download) -> tuple[str, ...]:
    done = f"{size(download.bytes_done)} of {size(download.bytes_total)}"
    reason = (download.message or "").partition(". ")[0]  # what helps was said when it failed
    said = f"{download.state}: {reason}" if reason else download.state
    return (download.id, "-", done, "-", said)
