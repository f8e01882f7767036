"""Where models lie, where they grow and how they go: models/<id>, models/.downloads/<id>, models/.trash.

A model of another program may lie one folder deeper (see layouts): it can be deleted, too.

All three are below one folder, hence on one disk: a model appears and disappears by one rename. Knows
nothing of the hub or of HTTP.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from ominix import locks
from ominix.errors import Conflict, ModelNotFound
from ominix.library import layouts
from ominix.library.records import sync_folder

LOCK_SECONDS = 0.5  # others look at a folder's lock for an instant


class Folders:
    """The folders of OMINIX_HOME. Ids are names of entries; anything that climbs is refused."""

    def __init__(self, home: Path, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._lock_seconds = lock_seconds
        self.models = home / "models"
        self._downloads = self.models / ".downloads"
        self._trash = self.models / ".trash"

    def final(self, model_id: str) -> Path:
        """Also of an id `owner/name`: its own folder, or the one in the layout of the hub's cache."""
        owner, slash, name = model_id.partition("/")
        if not slash:
            return self.models / _name(model_id)
        cached = self.models / _name(layouts.hub_folder_name(model_id))
        nested = self.models / _name(owner) / _name(name)
        return cached if cached.is_dir() and not nested.is_dir() else nested

    def partial(self, model_id: str) -> Path:
        """Where it grows: is there exactly as long as the download is not done."""
        return self._downloads / _name(model_id)

    def is_model(self, model_id: str) -> bool:
        """Whether its folder holds a model, whole or not; an owner's folder holds others."""
        return layouts.has_config(layouts.served(self.final(model_id)))

    def names_in_use(self) -> set[str]:
        """Names in use, in small letters: some disks do not tell them from large ones."""
        return {entry.name.lower() for folder in (self.models, self._downloads) for entry in _entries(folder)}

    def holds(self, model_id: str) -> bool:
        """Whether anything of it is on the disk. A download that failed at once leaves an empty folder."""
        return self.has_folder(model_id) or bool(_entries(self.partial(model_id)))

    def has_folder(self, model_id: str) -> bool:
        return _is_folder(self.final(model_id))

    def is_partial(self, model_id: str) -> bool:
        return _is_folder(self.partial(model_id))

    def is_taken(self, model_id: str) -> bool:
        """Whether anything has the name, be it a link that leads nowhere."""
        try:
            self.final(model_id).lstat()
        except (OSError, ValueError):
            return False
        return True

    def drop_empty(self, model_id: str) -> None:
        """Remove the folder of a download that has brought nothing."""
        with contextlib.suppress(OSError):
            self.partial(model_id).rmdir()

    def in_progress(self, model_id: str) -> bool:
        """Whether a living process downloads it: only into a folder of its own, without an owner's."""
        return "/" not in model_id and locks.is_held(self.partial(model_id), shared=True)

    def in_use(self, model_id: str) -> bool:
        """Whether a living worker, of whichever server, holds it."""
        return locks.is_held(layouts.served(self.final(model_id)))

    def bytes_so_far(self, model_id: str) -> int:
        return sum(_size(entry) for entry in _entries(self.partial(model_id)))

    def publish(self, model_id: str) -> None:
        """The finished download becomes a model, in one step that lasts. Raises FileExistsError, OSError."""
        source, target = self.partial(model_id), self.final(model_id)
        sync_folder(source)
        if target.is_symlink() or target.exists():
            raise FileExistsError(target)
        source.rename(target)
        sync_folder(self.models)
        sync_folder(self._downloads)

    def retire(self, model_id: str) -> Path:
        """Out of sight by one rename, to be removed: the new path. Of a link the link, not its target.

        Raises Conflict while a worker, of whichever server, has it.
        """
        path = self.final(model_id)
        owner = path.parent
        if owner != self.models:
            _check_nested(model_id, path)
        try:
            with locks.held(layouts.served(path), seconds=self._lock_seconds):
                retired = self._to_trash(path)
            if owner != self.models:
                with contextlib.suppress(OSError):  # other models are in it
                    owner.rmdir()
            return retired
        except locks.Held:
            raise Conflict(
                f"The model '{model_id}' is loaded; unload it first (POST /v1/models/{model_id}/unload).",
                code="model_loaded",
            ) from None

    def retire_partial(self, model_id: str) -> Path | None:
        """The same for what a download has left, if anything."""
        try:
            return self._to_trash(self.partial(model_id))
        except FileNotFoundError:
            return None

    @staticmethod
    def remove(retired: Path | None) -> None:
        if retired is not None:
            _remove(retired)

    def sweep(self) -> None:
        """Remove what a killed deletion has left."""
        for entry in _entries(self._trash):
            _remove(Path(entry.path))

    def _to_trash(self, path: Path) -> Path:
        self._trash.mkdir(parents=True, exist_ok=True)
        target = self._trash / f"{path.name}-{time.time_ns()}"
        path.rename(target)
        return target


def _check_nested(model_id: str, path: Path) -> None:
    """Raises ModelNotFound for a part of another model, Conflict behind an owner's folder that is a link."""
    if layouts.has_config(path.parent) or not layouts.has_config(path):
        raise ModelNotFound(f"The model '{model_id}' does not exist here.", param="model")
    if path.parent.is_symlink():
        raise Conflict(
            f"The model '{model_id}' lies outside of the models folder, behind the link "
            f"'{path.parent.name}': delete it there, or remove the link.",
            code="model_elsewhere",
        )


def _name(model_id: str) -> str:
    """Raises ModelNotFound for what is not the plain name of a model's folder."""
    if not model_id or model_id.startswith(".") or "/" in model_id or "\0" in model_id:
        raise ModelNotFound(f"The model '{model_id}' does not exist here.", param="model")
    return model_id


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to a name that no disk takes
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # gone meanwhile
        return 0


def _remove(path: Path) -> None:
    """Never follows a link; two processes may remove the same. What may not be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
