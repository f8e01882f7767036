"""The models folder: what lies in it as models. A folder that cannot be read is one with `trouble`.

What a stranger's folder holds breaks its own entry alone. Names no aliases and knows no downloads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ominix.families.family import UNKNOWN, Family
from ominix.families.table import Families
from ominix.library import checkpoint, generation, layouts
from ominix.library.folder_cache import FolderCache
from ominix.library.model import Model, printable
from ominix.library.names import RESERVED

log = logging.getLogger("ominix.library")


class Installed:
    """Thread-safe. As the disk is at each call: models come and go while the server runs."""

    def __init__(self, folder: Path, families: Families) -> None:
        self._folder = folder
        self._families = families
        self._entries = FolderCache(_entries)
        self._models = FolderCache(self._read)

    def folders(self) -> dict[str, Path]:
        """By id. Those that can be looked at; links count as what they lead to."""
        return self._by_id(self._entries.get(self._folder))

    def folder(self, model_id: str) -> Path | None:
        """As `folders` has it, without a look at most of the others: there may be thousands."""
        names = (model_id, model_id.partition("/")[0], layouts.hub_folder_name(model_id))
        entries = [entry for entry in self._entries.get(self._folder) if entry[0] in names]
        return self._by_id(entries).get(model_id)

    def _by_id(self, entries: Iterable[tuple[str, Path, bool]]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        cached: dict[str, Path] = {}
        for name, path, is_link in entries:
            hub_id = layouts.hub_id(name)
            if is_link and not _is_folder(path):
                continue
            if hub_id is not None and (snapshot := layouts.served(path)) != path:
                cached[hub_id] = snapshot
            else:
                found.update(self._of_owner(name, path) or {name: path})
        return {**cached, **found}

    def _of_owner(self, owner: str, folder: Path) -> dict[str, Path]:
        """The models in an owner's folder; none in a model's."""
        if layouts.has_config(folder) or owner in RESERVED:
            return {}
        children = self._entries.get(folder)
        return {
            f"{owner}/{name}": path
            for name, path, _ in children
            if layouts.has_config(path) and name == path.name and name not in RESERVED
        }

    def models(self) -> list[Model]:
        folders = self.folders().values()
        self._models.keep(folders)
        return [self._models.get(folder) for folder in folders]

    def model(self, folder: Path) -> Model:
        return self._models.get(folder)

    def _read(self, path: Path) -> tuple[Model, str]:
        """The model, and the file of its folder that changed last."""
        try:
            return self._understood(path)
        except Exception as error:  # a stranger's files: whatever they hold, they break their own entry alone
            log.warning("%s cannot be read", printable(path.name), exc_info=error)
            trouble = f"it cannot be read ({type(error).__name__})"
            name = printable(layouts.model_id(self._folder, path))
            return Model(name, path, UNKNOWN, trouble=trouble), ""

    def _understood(self, path: Path) -> tuple[Model, str]:
        found = checkpoint.read(path)
        family = self._families.claiming(found.config)
        model_id = printable(layouts.model_id(self._folder, path))
        model = Model(
            model_id,
            path,
            family,
            owned_by=model_id.rpartition("/")[0] or "local",
            created=found.created,
            size_bytes=found.size_bytes,
            quantization=found.quantization,
            trouble=_name_trouble(path) or found.trouble or _family_trouble(family, found.config),
            note=family.note,
            settings=generation.settings(found.generation),
        )
        return model, found.newest


def _entries(folder: Path) -> tuple[list[tuple[str, Path, bool]], str]:
    """Folders and links by id, with whether it is a link; for FolderCache."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_link = entry.is_symlink()
                if not entry.name.startswith(".") and (is_link or entry.is_dir(follow_symlinks=False)):
                    found.append((printable(entry.name), folder / entry.name, is_link))
    except OSError:
        return [], ""
    return sorted(found), ""


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to what cannot be looked at
        return False


def _name_trouble(path: Path) -> str | None:
    if printable(path.name) != path.name:
        return "its folder's name has characters that cannot be written; rename it"
    if printable(str(path)) != str(path):
        return "a folder above it has a name with characters that cannot be written; rename that"
    return None


def _family_trouble(family: Family, config: Mapping[str, object]) -> str | None:
    if family is not UNKNOWN:
        return None
    return f"its model_type {config.get('model_type')!r:.40} is not supported"
