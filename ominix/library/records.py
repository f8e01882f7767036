"""What is known of a model beside its files: OMINIX_HOME/config.json.

The file is always replaced whole, under a lock: whoever reads it finds one version or the next, also
after a kill at any moment. A damaged file is set aside. Knows nothing of the hub, processes or HTTP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix import locks
from ominix.errors import Unavailable

LOCK_SECONDS = 10.0  # the longest wait for another writer, which needs milliseconds
STATES = ("downloading", "cancelled", "failed", "ready")
_KINDS = {
    "repo_id": str,
    "state": str,
    "revision": str,
    "downloaded_at": int,
    "total_bytes": int,
    "reason": str,
    "message": str,
}

log = logging.getLogger("ominix.records")


@dataclass(frozen=True)
class DownloadRecord:
    """One download that was asked for. `state` is one of STATES; times in seconds since 1970."""

    repo_id: str
    state: str
    revision: str | None = None  # the commit
    downloaded_at: int | None = None
    total_bytes: int | None = None  # of the files that are wanted; None: not known yet
    reason: str | None = None  # why it failed, as a word for programs
    message: str | None = None  # the same for people


class Records:
    """The records by model id. Safe between threads and processes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "config.json"

    def all(self) -> dict[str, DownloadRecord]:
        """Every record that can be understood; {} if there is none."""
        try:
            return _records(_parsed(self._file.read_bytes()))
        except OSError:  # none yet, or none that may be read
            return {}
        except ValueError:
            with self.changing() as records:
                return dict(records)

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, DownloadRecord]]:
        """The records, to be changed in place and written at the end of the block; not if it raises.

        Raises Unavailable when another process holds them for too long.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        try:
            with locks.held(self._home, seconds=LOCK_SECONDS):
                document = self._document()
                records = _records(document)
                before = dict(records)
                yield records
                if records != before:
                    models = {name: _fields(record) for name, record in records.items()}
                    self._replace({**document, "models": models})
        except locks.Held:
            raise Unavailable(f"{self._file.name} is locked by another process; try again") from None

    def put(self, model_id: str, **fields: Any) -> None:
        """Set these fields of a record; `repo_id` and `state` are needed for a new one."""
        with self.changing() as records:
            old = records.get(model_id)
            records[model_id] = dataclasses.replace(old, **fields) if old else DownloadRecord(**fields)

    def drop(self, model_id: str) -> None:
        with self.changing() as records:
            records.pop(model_id, None)

    def _document(self) -> dict[str, Any]:
        try:
            return _parsed(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            aside = self._file.with_name(f"config.json.damaged-{time.time_ns()}")
            self._file.rename(aside)
            log.warning("config.json is damaged (%s): set aside as %s", error, aside.name)
            return {}

    def _replace(self, document: dict[str, Any]) -> None:
        fresh = self._home / ".config.json.new"  # one name: what a kill leaves is overwritten
        with fresh.open("w") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)
        sync_folder(self._home)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(data: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict) or not isinstance(document.get("models", {}), dict):
        raise ValueError("not an object of models")
    return document


def _records(document: dict[str, Any]) -> dict[str, DownloadRecord]:
    found = {name: _record(fields) for name, fields in document.get("models", {}).items()}
    return {name: record for name, record in found.items() if record is not None}


def _record(fields: object) -> DownloadRecord | None:
    """None for an entry that makes no sense."""
    if not isinstance(fields, dict) or fields.get("state") not in STATES:
        return None
    known = {key: value for key, value in fields.items() if key in _KINDS and value is not None}
    sane = all(type(value) is _KINDS[key] for key, value in known.items())
    return DownloadRecord(**known) if sane and known.get("repo_id") else None


def _fields(record: DownloadRecord) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(record).items() if value is not None}
