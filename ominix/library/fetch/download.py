"""The download child: `python -m ominix.library.fetch.download HOME ID REPO_ID [--log-json]`.

Fetches one repository. Prints what it does as lines of JSON: {"state", "done_bytes", "total_bytes"} while
it works, at the end {"state": "ready"} or {"state": "failed", "reason", "message"}. Ends when its stdin is
closed: its parent has ended. May be killed at any moment; the next one resumes.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ominix import lifeline, locks, logs
from ominix.errors import DownloadFailed
from ominix.library.fetch import wanted
from ominix.library.fetch.hub import Hub
from ominix.library.fetch.listing import File, Listing
from ominix.library.folders import Folders
from ominix.library.records import Records

REPORT_SECONDS = 0.25
LOCK_SECONDS = 0.5  # others look at the lock for an instant
SPARE_BYTES = 64 << 20  # of the disk, to be left free
NICENESS = 10  # answers come first
MEMORY_BYTES = 1 << 30  # it needs a tenth
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Repository(Protocol):
    """What `hub.Hub` is for one download; a simulation has its own."""

    repo_id: str

    def listing(self) -> Listing: ...

    def fetch(self, file: File, revision: str, target: Path, progress: Callable[[int], None]) -> None: ...


def say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Fetch:
    """One download from the list of files to the folder in its place."""

    def __init__(
        self,
        home: Path,
        model_id: str,
        hub: Repository,
        *,
        records: Records | None = None,
        lock_seconds: float = LOCK_SECONDS,
        free_bytes: Callable[[Path], int] = free_bytes,
        say: Callable[[dict[str, object]], None] = say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`free_bytes`: of a folder's disk; `say`: to the parent."""
        self._records = records or Records(home)
        self._folders = Folders(home)
        self._lock_seconds = lock_seconds
        self._free_bytes = free_bytes
        self._say = say
        self._clock = clock
        self._folder = self._folders.partial(model_id)
        self._id = model_id
        self._hub = hub
        self._done = 0
        self._total: int | None = None
        self._reported = 0.0

    def run(self) -> None:
        """Raises DownloadFailed; locks.Held when another process is at it; OSError."""
        if self._folders.is_taken(self._id):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with locks.held(self._folder, seconds=self._lock_seconds):
            self._note("downloading", reason=None, message=None)
            try:
                listing = self._hub.listing()
                self._fetch_all(listing)
                self._publish(listing)
            except DownloadFailed as failure:
                self._note("failed", reason=failure.reason, message=failure.message)
                raise

    def _note(self, state: str, **fields: object) -> None:
        self._records.put(self._id, repo_id=self._hub.repo_id, state=state, **fields)

    def _fetch_all(self, listing: Listing) -> None:
        wanted.check_is_model(listing.files)
        has_index = wanted.INDEX in listing.files
        self._check_space(listing, [wanted.CONFIG, *([wanted.INDEX] if has_index else [])])
        self._fetch(listing, wanted.CONFIG)
        rules = wanted.rules((self._folder / wanted.CONFIG).read_bytes())
        first = wanted.settings(listing.files, rules)
        index = None
        if has_index:
            self._fetch(listing, wanted.INDEX)
            index = (self._folder / wanted.INDEX).read_bytes()
        weights = wanted.weights(listing.files, index, rules)
        if has_index and len(weights) > 1:
            first.append(wanted.INDEX)
        self._drop_others(listing, [*first, *weights])
        self._total = self._check_space(listing, [*first, *weights])
        self._note("downloading", total_bytes=self._total, revision=listing.revision)
        self._report("downloading", now=True)
        for name in [*first, *weights]:
            self._fetch(listing, name)

    def _check_space(self, listing: Listing, names: list[str]) -> int | None:
        """The size of all these files; None if one does not tell its own.

        Raises DownloadFailed if the disk cannot hold what is to come.
        """
        sizes = [listing.files[name].size for name in names]
        for name, size in zip(names, sizes, strict=True):
            most = wanted.most_bytes(name)
            if most is not None and (size or 0) > most:
                raise _too_large(name, most)
        total = sum(size or 0 for size in sizes)
        self._done = self._folders.bytes_so_far(self._id)
        free = self._free_bytes(self._folder)
        if total - self._done + SPARE_BYTES > free:
            raise DownloadFailed(
                "no_space",
                f"The model needs {_gb(total - self._done)} more, and {_gb(free)} are free on the disk.",
            )
        return None if None in sizes else total

    def _fetch(self, listing: Listing, name: str) -> None:
        file = listing.files[name]
        target = self._folder / name
        try:
            self._hub.fetch(file, listing.revision, target, self._advance_of(file))
            with target.open("rb") as content:
                os.fsync(content.fileno())
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise DownloadFailed("no_space", f"The disk is full ({_gb(self._done)} are there).") from error

    def _advance_of(self, file: File) -> Callable[[int], None]:
        """Where the hub tells no size, its file may have none: what comes is bounded."""
        most = wanted.most_bytes(file.name)
        count = 0

        def advance(new: int) -> None:
            nonlocal count
            count += new
            if file.size is None and most is not None and count > most:
                raise _too_large(file.name, most)
            if file.size is None and new > 0 and self._free_bytes(self._folder) < SPARE_BYTES:
                raise DownloadFailed("no_space", f"The disk is full ({_gb(self._done)} are there).")
            self._done += new
            self._report("downloading")

        return advance

    def _drop_others(self, listing: Listing, names: list[str]) -> None:
        """Remove what earlier tries left and this commit does not need: other files, parts of others."""
        parts = {f"{name}.{listing.files[name].digest[:16]}.partial" for name in names}
        for entry in self._folder.iterdir():
            if entry.name not in parts and entry.name not in names:
                entry.unlink()

    def _publish(self, listing: Listing) -> None:
        self._report("verifying", now=True)
        self._note("ready", revision=listing.revision, downloaded_at=int(time.time()))
        try:
            self._folders.publish(self._id)
        except FileExistsError:
            raise DownloadFailed("exists", f"There is a folder named {self._id} by now.") from None

    def _report(self, state: str, *, now: bool = False) -> None:
        if now or self._clock() - self._reported >= REPORT_SECONDS:
            self._reported = self._clock()
            self._say({"state": state, "done_bytes": self._done, "total_bytes": self._total})


def _too_large(name: str, most: int) -> DownloadFailed:
    return DownloadFailed("not_a_model", f"{name} has more than {most >> 20} MiB: no model's has.")


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _limit_memory() -> None:
    """Whatever a hub sends, the machine's memory stays the models'. (RLIMIT_DATA counts what is written to;
    of a Mac's kernel it limits nothing.)"""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then lets go of stdin
    os.nice(NICENESS)
    home, model_id, repo_id, *options = sys.argv[1:]
    logs.to_stderr(as_json="--log-json" in options, level=logging.WARNING)
    lifeline.end_with_stdin()
    _limit_memory()
    try:
        Fetch(Path(home), model_id, Hub(repo_id)).run()
    except DownloadFailed as failure:
        say({"state": "failed", "reason": failure.reason, "message": failure.message})
        return 1
    except locks.Held:
        say({"state": "failed", "reason": "held", "message": "Another process downloads it already."})
        return 1
    except OSError as error:
        reason = "no_space" if error.errno in DISK_FULL else "disk"
        say({"state": "failed", "reason": reason, "message": f"The models' folder: {error.strerror}."})
        return 1
    except MemoryError:
        say({"state": "failed", "reason": "hub", "message": "The hub's answers take too much memory."})
        return 1
    say({"state": "ready"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
