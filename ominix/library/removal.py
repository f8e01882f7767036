"""What goes from the disk and from the records: models, what failed downloads have left, old records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path

from ominix.errors import Conflict, ModelNotFound, Unavailable
from ominix.library.folders import Folders
from ominix.library.records import DownloadRecord, Records

DOWNLOADING = "model_downloading"
MAX_ENDED = 100  # records of downloads that failed or were cancelled and have left nothing
KEPT_SECONDS = 24 * 3600  # how long such a one is told of


def prune(records: dict[str, DownloadRecord], folders: Folders, *, running: Collection[str] = ()) -> None:
    """Drop records of downloads that ended long ago, or of too many, where nothing is on the disk.

    "ready" ones stay: the disk with the models may be away.
    """
    left = [
        name
        for name, record in records.items()
        if record.state != "ready" and name not in running and not folders.holds(name)
    ]
    left.sort(key=lambda name: records[name].changed_at or 0)
    for rank, name in enumerate(reversed(left)):
        if rank >= MAX_ENDED or _is_old(records[name]):
            folders.drop_empty(name)
            del records[name]


def is_over(model_id: str, record: DownloadRecord, folders: Folders) -> bool:
    """Whether nobody needs to be told of it any more; `prune` drops it sooner or later."""
    is_told = record.state not in ("failed", "cancelled") or record.changed_at is None or not _is_old(record)
    return not (is_told or folders.holds(model_id))


def _is_old(record: DownloadRecord) -> bool:
    return (record.changed_at or 0) < time.time() - KEPT_SECONDS


def sweep(folders: Folders, records: Records) -> None:
    """Remove what a killed deletion has left, and old records; at the start."""
    folders.sweep()
    with contextlib.suppress(OSError, Unavailable), records.changing() as known:
        prune(known, folders)


def delete(model_id: str, folders: Folders, records: Records) -> None:
    """Delete a model, or what a failed download has left. Raises ModelNotFound, Conflict."""

    def retire(known: Collection[str]) -> Path | None:
        if folders.in_progress(model_id):
            raise is_coming(model_id)
        if folders.has_folder(model_id):
            return folders.retire(model_id)
        if model_id in known:
            return folders.retire_partial(model_id)
        raise ModelNotFound(f"The model '{model_id}' does not exist here.", param="model")

    remove(model_id, folders, records, retire)


def remove(
    model_id: str, folders: Folders, records: Records, retire: Callable[[Collection[str]], Path | None]
) -> None:
    """`retire`: takes the folder out of sight; may refuse. Its record goes with it.

    On a full disk nothing can be written before something is removed, so the folder goes even if the
    record cannot: it is pruned one day.
    """
    left: Path | None = None
    try:
        with records.changing() as known:
            left = retire(known)
            known.pop(model_id, None)
    except OSError:
        if left is None:
            raise
        folders.remove(left)
        with contextlib.suppress(OSError, Unavailable):
            records.drop(model_id)
    folders.remove(left)


def is_coming(model_id: str) -> Conflict:
    return Conflict(
        f"The model '{model_id}' is being downloaded; "
        f"stop that first (DELETE /v1/models/downloads/{model_id}).",
        code=DOWNLOADING,
    )
