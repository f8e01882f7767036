"""`ominix info`: what is known of one model, a line each."""

from __future__ import annotations

import argparse
import sys
import time

from ominix.cli.list import size
from ominix.config import Config
from ominix.errors import OminixError
from ominix.library.catalog import EMBEDDED, Catalog, Model
from ominix.library.folders import Folders
from ominix.library.records import Records


def run(config: Config, options: argparse.Namespace) -> int:
    records = Records(config.home)
    catalog = Catalog(config.models_folder, config.aliases, records=records, embedded=EMBEDDED)
    try:
        model = catalog.get(options.model)
    except OminixError as error:
        repo_id = catalog.repository(options.model)
        hint = f" 'ominix pull {options.model}' would fetch {repo_id}." if repo_id != options.model else ""
        print(f"ominix: {error.message}{hint}", file=sys.stderr)
        return 1
    for name, value in _lines(model, records, Folders(config.home)):
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
        ("repository", model.repo_id),
        ("revision", record.revision if record else None),
        ("downloaded", _date(record.downloaded_at) if record else None),
        ("loaded", "yes" if folders.in_use(model.id) else "no"),
        ("path", str(model.path)),
    ]
    return [(name, value) for name, value in known if value is not None]


def _date(seconds: int | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
