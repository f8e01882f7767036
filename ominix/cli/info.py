"""`ominix info`: what is known of one model, a line each."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from ominix.cli.flags import Flags
from ominix.cli.table import size
from ominix.errors import OminixError
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.folders import Folders
from ominix.library.generation import GenerationSettings
from ominix.library.model import Model
from ominix.library.records import Records

EXAMPLES = """
  ominix info whisper-base
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", metavar="MODEL")
    Flags(parser, environ).aliases()


def run(*, home: Path, model: str, aliases: Sequence[tuple[str, str]]) -> int:
    folders, records = Folders(home), Records(home)
    catalog = Catalog(folders.models, dict(aliases), records=records, embedded=EMBEDDED)
    try:
        found = catalog.get(model)
    except OminixError as error:
        repo_id = catalog.repository(model)
        hint = f" 'ominix pull {model}' would fetch {repo_id}." if repo_id != model else ""
        print(f"ominix: {error.message}{hint}", file=sys.stderr)
        return 1
    for name, value in _lines(found, records, folders):
        print(f"{name:<13} {value}")
    return 0


def _lines(model: Model, records: Records, folders: Folders) -> list[tuple[str, str]]:
    record = records.all().get(model.id)
    known = [
        ("name", model.id),
        ("task", model.task),
        ("trouble", model.trouble),
        ("note", model.note),
        ("size", size(model.size_bytes)),
        ("quantization", "{} bits, groups of {}".format(*model.quantization) if model.quantization else None),
        ("sampling", _sampling(model.settings) if "chat" in model.abilities else None),
        ("repository", model.repo_id),
        ("revision", record.revision if record else None),
        ("downloaded", _date(record.downloaded_at) if record else None),
        ("loaded", "yes" if folders.in_use(model.folder_name) else "no"),
        ("path", model.shown_path),
    ]
    return [(name, value) for name, value in known if value is not None]


def _sampling(settings: GenerationSettings) -> str | None:
    """The model's own settings that count where a request says nothing; None if it has none."""
    own = [f"{f.name} {v}" for f in fields(settings) if (v := getattr(settings, f.name)) != f.default]
    return ", ".join(own) or None


def _date(seconds: int | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
