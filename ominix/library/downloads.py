"""The downloads that a server runs, each in a child, two at once; others wait in a queue.

    asked for -> queued -> running -> ended; its record says how (ready, failed)
                   |          |
                   +----------+--> cancelled

In: names of repositories. Out: how each download stands. What lasts is in the records and folders, since
`ominix pull` or another server may run beside this one. Knows neither HTTP nor the hub.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ominix.errors import Busy, Conflict, ModelNotFound, Unavailable
from ominix.library import removal
from ominix.library.child import Child, Fetcher
from ominix.library.folders import Folders
from ominix.library.names import checked_repo_id, id_for
from ominix.library.progress import Download, Running
from ominix.library.records import DownloadRecord, Records, begun
from ominix.library.removal import DOWNLOADING

# Why a download may have failed, as words for programs (schemas/download.json).
REASONS = ("not_found", "gated", "offline", "hub", "no_space", "disk", "corrupt", "incomplete", "not_a_model",
           "remote_code", "exists", "held", "internal")  # fmt: skip
NOT_SAID = "OMINIX_HOME/config.json does not say why. Ask for the download again."
MAX_RUNNING = 2  # more only share the line
MAX_WAITING = 32
LOCK_SECONDS = 1.0  # a request holds a thread meanwhile: children wait longer for the records' lock
ENDING_SECONDS = 10.0  # the longest wait for a child that is ending

log = logging.getLogger("ominix.library")


class Downloads:
    """Thread-safe."""

    def __init__(
        self,
        home: Path,
        *,
        records: Records | None = None,
        folders: Folders | None = None,
        spawn: Callable[[Path, str, str], Fetcher] = Child,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._home = home
        self._records = records or Records(home, lock_seconds=LOCK_SECONDS)
        self._folders = folders or Folders(home)
        self._spawn = spawn
        self._clock = clock
        self._pause = pause
        self._running: dict[str, Running] = {}  # in the order they were asked for
        # Guards _running and _closed. Starting a child under it takes milliseconds; nothing is waited for.
        self._lock = threading.Lock()
        self._closed = False

    def start(self, repo_id: str) -> str:
        """The id under which it will be found; one that runs is joined.

        Raises InvalidRequest, Conflict if it is here, Busy, Unavailable.
        """
        checked_repo_id(repo_id)
        while True:
            model_id, is_accepted = self._accept(repo_id)
            if is_accepted:
                break
            self._await_end(model_id)
        with self._lock:
            self._start_next()
        return model_id

    def _accept(self, repo_id: str) -> tuple[str, bool]:
        """Its id; False while an earlier one of the same id is ending.

        There is room before there is a record: a refused download leaves none.
        """
        model_id = ""
        queued = dict(self._running)
        try:
            with self._records.changing() as records:
                model_id = self._id_of_new(repo_id, records)
                if not self._enqueue(model_id, repo_id):
                    return model_id, False
                removal.prune(records, self._folders, running=self._running)
                records[model_id] = begun(repo_id, records.get(model_id))
        except OSError:  # the record could not be written
            with self._lock:
                if model_id not in queued:
                    self._running.pop(model_id, None)
            raise
        return model_id, True

    def _await_end(self, model_id: str) -> None:
        """Wait while a download is ending: its child has sent its last update or is being cancelled."""
        deadline = self._clock() + ENDING_SECONDS
        while (running := self._running.get(model_id)) is not None and running.ending:
            if self._clock() > deadline:
                raise Busy(f"the last download of '{model_id}' has not ended yet; try again")
            self._pause(0.01)

    def _enqueue(self, model_id: str, repo_id: str) -> bool:
        """False while an earlier one of the same id is ending."""
        with self._lock:
            if self._closed:
                raise Unavailable("the server is shutting down", code="shutting_down")
            running = self._running.get(model_id)
            if running is not None:
                return not running.ending
            if not self._folders.in_progress(model_id):
                if len(self._running) >= MAX_RUNNING + MAX_WAITING:
                    raise Busy(f"{len(self._running)} downloads are waiting; try again later")
                self._running[model_id] = Running(model_id, repo_id)
            return True

    def _id_of_new(self, repo_id: str, records: dict[str, DownloadRecord]) -> str:
        model_id = id_for(repo_id, records, self._folders)
        if self._folders.is_taken(model_id):
            raise Conflict(
                f"The model '{model_id}' is here already; DELETE /v1/models/{model_id} first "
                "to download it anew.",
                code="model_already_exists",
            )
        return model_id

    def _start_next(self) -> None:
        """Under the lock."""
        active = sum(running.child is not None for running in self._running.values())
        for running in self._running.values():
            if running.child is None and not running.ending and active < MAX_RUNNING:
                active += 1
                child = self._spawn(self._home, running.id, running.repo_id)
                child.follow(running.apply, functools.partial(self._on_end, running))
                running.child = child

    def _on_end(self, running: Running, status: int) -> None:
        last = running.last_update
        if status > 0 and last.state != "failed" and not self._closed:
            message = "The download stopped unexpectedly; the server's log says why. Ask for it again."
            self._record_failure(running, message)
        log.info("%s: download ended: %s", running.id, last.message or last.state)
        with self._lock:
            if not running.cancelled:
                del self._running[running.id]
            if not self._closed:
                self._start_next()

    def _record_failure(self, running: Running, message: str) -> None:
        try:
            self._records.put(
                running.id, repo_id=running.repo_id, state="failed", reason="internal", message=message
            )
        except (OSError, Unavailable) as error:  # the next download must begin all the same
            log.error("%s: its failure could not be recorded: %s", running.id, error)

    def all(self) -> list[Download]:
        """Those that run, those that ended some other way than well, and models that were downloaded."""
        with self._lock:
            running = dict(self._running)
        found = {name: self._recorded(name, record) for name, record in self._records.all().items()}
        found.update({name: r.view(self._folders.bytes_so_far(name)) for name, r in running.items()})
        return [download for download in found.values() if download is not None]

    def get(self, model_id: str) -> Download:
        """By id or repository. Raises ModelNotFound."""
        for download in self.all():
            if model_id in (download.id, download.repo_id):
                return download
        raise ModelNotFound(f"There is no download '{model_id}'. GET /v1/models/downloads lists them.")

    def _recorded(self, model_id: str, record: DownloadRecord) -> Download | None:
        """As the disk has it; None for a record that nothing on the disk belongs to any more."""
        try:
            is_here = self._folders.has_folder(model_id)
            is_partial = self._folders.is_partial(model_id)
        except ModelNotFound:  # a name that somebody has put into the file
            return None
        if record.state == "ready" and not is_here and not is_partial:
            return None
        if removal.is_over(model_id, record, self._folders):
            return None
        state = _state(record, is_here, self._folders.in_progress(model_id))
        done = (record.total_bytes or 0) if is_here else self._folders.bytes_so_far(model_id)
        failed = state == "failed"
        return Download(
            model_id,
            record.repo_id,
            state,
            bytes_done=done,
            bytes_total=record.total_bytes,
            reason=(record.reason if record.reason in REASONS else "internal") if failed else None,
            message=(record.message or NOT_SAID) if failed else None,
        )

    def cancel(self, model_id: str, *, keep_partial: bool) -> Download:
        """Stop it, or forget one that has ended. Raises ModelNotFound, Conflict."""
        download = self.get(model_id)
        self._end(download.id, download.repo_id)
        try:
            self._forget(download, keep_partial=keep_partial)
        finally:
            with self._lock:
                self._running.pop(download.id, None)
                self._start_next()
        return download

    def _end(self, model_id: str, repo_id: str) -> None:
        """Its child is dead afterwards; its entry keeps new ones away until the disk is as was asked for."""
        with self._lock:
            running = self._running.setdefault(model_id, Running(model_id, repo_id))
            if running.cancelled:
                raise Conflict(f"The download of '{model_id}' is being cancelled already.", code=DOWNLOADING)
            running.cancelled = running.ending = True
            child = running.child
        if child is not None:
            child.end()

    def _forget(self, download: Download, *, keep_partial: bool) -> None:
        if not keep_partial:

            def retire(known: object) -> Path | None:
                self._check_may_go(download.id)
                return self._folders.retire_partial(download.id)

            removal.remove(download.id, self._folders, self._records, retire)
            return
        with self._records.changing() as records:
            self._check_may_go(download.id)
            total, now = download.bytes_total, int(time.time())
            records[download.id] = DownloadRecord(
                download.repo_id, "cancelled", total_bytes=total, changed_at=now
            )

    def _check_may_go(self, model_id: str) -> None:
        if self._folders.is_taken(model_id):
            raise Conflict(
                f"'{model_id}' is downloaded; DELETE /v1/models/{model_id} deletes it.",
                code="model_already_exists",
            )
        if self._folders.in_progress(model_id):
            raise Conflict(f"Another process downloads '{model_id}'; stop it there.", code=DOWNLOADING)

    def delete(self, model_id: str) -> None:
        """Delete a model that no worker has. Raises ModelNotFound, Conflict."""
        self._await_end(model_id)
        if model_id in self._running:
            raise removal.is_coming(model_id)
        removal.delete(model_id, self._folders, self._records)

    def close(self) -> None:
        """End every child. What they have fetched stays: the next download of the same model resumes it."""
        with self._lock:
            self._closed = True
            children = [running.child for running in self._running.values()]
        for child in children:
            if child is not None:
                child.end()


def _state(record: DownloadRecord, is_here: bool, in_progress: bool) -> str:
    if is_here:
        return "ready"
    if in_progress:
        return "downloading"
    return record.state if record.state in ("failed", "cancelled") else "interrupted"
