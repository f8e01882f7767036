"""What is known of a model beside its files: OMINIX_HOME/config.json.

The file is always replaced whole, under a lock: whoever reads it finds one version or the next, also
after a kill at any moment. A damaged file is set aside, an entry that makes no sense is passed over: people
edit it. Knows nothing of the hub, processes or HTTP.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix import locks
from ominix.errors import Unavailable
from ominix.library import small_file
from ominix.library.folder_cache import FolderCache

LOCK_SECONDS = 10.0  # the longest wait for another writer, which needs milliseconds
STATES = ("downloading", "cancelled", "failed", "ready")
MAX_FILE_BYTES = 16 << 20
MAX_NAME_BYTES = 255  # of a folder, on every disk
MAX_TEXT = 1000  # letters
MAX_NUMBER = 1 << 62
_KINDS = {
    "repo_id": str,
    "state": str,
    "revision": str,
    "downloaded_at": int,
    "changed_at": int,
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
    changed_at: int | None = None  # when its state last changed
    total_bytes: int | None = None  # of the files that are wanted; None: not known yet
    reason: str | None = None  # why it failed, as a word for programs
    message: str | None = None  # the same for people


def begun(repo_id: str, known: DownloadRecord | None = None) -> DownloadRecord:
    """Of a download that has been asked for; `known`: what an earlier one has left."""
    total = known.total_bytes if known and known.repo_id == repo_id else None
    return DownloadRecord(repo_id, "downloading", total_bytes=total, changed_at=int(time.time()))


class Records:
    """The records by model id. Safe between threads and processes."""

    def __init__(
        self,
        home: Path,
        *,
        lock_seconds: float = LOCK_SECONDS,
        write: Callable[[Path, bytes], None] | None = None,
    ) -> None:
        """`write`: makes a file that lasts out of bytes; a test has disks that are full."""
        self._home = home
        self._lock_seconds = lock_seconds
        self._write = write or write_whole
        self._file = home / "config.json"
        self._read = FolderCache(self._read_from)

    def all(self) -> Mapping[str, DownloadRecord]:
        """Every record that can be understood; {} if there is none."""
        return self._read.get(self._home)

    def _read_from(self, home: Path) -> tuple[dict[str, DownloadRecord], str]:
        """For the cache."""
        try:
            return _records(_parsed(small_file.read(self._file, MAX_FILE_BYTES))), ""
        except OSError:  # none yet, or none that may be read
            return {}, ""
        except ValueError:
            with contextlib.suppress(OSError, Unavailable), self.changing() as records:  # sets it aside
                return dict(records), ""
            return {}, ""

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, DownloadRecord]]:
        """The records, to be changed in place and written at the end of the block; not if it raises.

        Raises Unavailable when another process holds them for too long.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        try:
            with locks.held(self._home, seconds=self._lock_seconds):
                document = self._document()
                records = _records(document)
                before = dict(records)
                yield records
                if records != before:
                    models = {name: _fields(record) for name, record in records.items()}
                    self._write(self._file, json.dumps({**document, "models": models}, indent=2).encode())
        except locks.Held:
            raise Unavailable(f"{self._file.name} is locked by another process; try again") from None

    def put(self, model_id: str, **fields: Any) -> None:
        """Set these fields of a record; `repo_id` and `state` are needed for a new one."""
        with self.changing() as records:
            old = records.get(model_id)
            fields["changed_at"] = int(time.time())
            if fields.get("message"):
                fields["message"] = fields["message"][:MAX_TEXT]
            records[model_id] = dataclasses.replace(old, **fields) if old else DownloadRecord(**fields)

    def drop(self, model_id: str) -> None:
        with self.changing() as records:
            records.pop(model_id, None)

    def _document(self) -> dict[str, Any]:
        try:
            return _parsed(small_file.read(self._file, MAX_FILE_BYTES))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            aside = self._file.with_name(f"config.json.damaged-{time.time_ns()}")
            self._file.rename(aside)
            log.warning("config.json is damaged (%s): set aside as %s", error, aside.name)
            return {}


def write_whole(path: Path, data: bytes) -> None:
    """The file as it was or as it shall be, also after a kill or a power cut."""
    fresh = path.with_name(f".{path.name}.new")  # one name: what a kill leaves is overwritten
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


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
    found = {name: _record(fields) for name, fields in document.get("models", {}).items() if _is_name(name)}
    return {name: record for name, record in found.items() if record is not None}


def _is_name(name: str) -> bool:
    """Whether a folder can have it."""
    is_short = _is_text(name) and 0 < len(name.encode()) <= MAX_NAME_BYTES
    return is_short and name[0] != "." and "/" not in name


def _record(fields: object) -> DownloadRecord | None:
    """None for an entry that makes no sense."""
    if not isinstance(fields, dict) or fields.get("state") not in STATES:
        return None
    known = {key: value for key, value in fields.items() if key in _KINDS and value is not None}
    sane = all(type(value) is _KINDS[key] and _is_sane(value) for key, value in known.items())
    return DownloadRecord(**known) if sane and known.get("repo_id") else None


def _is_sane(value: object) -> bool:
    return _is_text(value) if isinstance(value, str) else isinstance(value, int) and 0 <= value <= MAX_NUMBER


def _is_text(value: str) -> bool:
    """Short, and writable: without half surrogates."""
    try:
        return len(value) <= MAX_TEXT and b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _fields(record: DownloadRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if value is not None}
