"""Where models lie below a folder, in the way of ominix and of other programs. Reads names, no model.

    name/config.json                                     ominix pull          id `name`
    owner/name/config.json                               LM Studio, oMLX      id `owner/name`
    models--owner--name/snapshots/REVISION/config.json   the hub's own cache  id `owner/name`

The first wins where two have the same id.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

CONFIG = "config.json"
HUB_FOLDER = re.compile(r"models--([\w.-]+?)--([\w.-]+)", re.ASCII)
MAX_REVISION_BYTES = 100


def has_config(folder: Path) -> bool:
    return os.path.lexists(f"{folder}/{CONFIG}")  # thousands in a request: no Path is made


def hub_id(folder_name: str) -> str | None:
    """Of a model in the hub's cache; None for other folders."""
    found = HUB_FOLDER.fullmatch(folder_name)
    return f"{found[1]}/{found[2]}" if found else None


def hub_folder_name(model_id: str) -> str:
    return "models--" + model_id.replace("/", "--")


def served(folder: Path) -> Path:
    """The folder with the files: in the hub's cache the snapshot in use, else the newest; else itself."""
    if hub_id(folder.name) is None or has_config(folder):
        return folder
    snapshots = [path for path in _folders(folder / "snapshots") if has_config(path)]
    current = _revision(folder / "refs" / "main")
    return max(snapshots, key=lambda path: (path.name == current, _changed(path)), default=folder)


def model_id(root: Path, folder: Path) -> str:
    """The id of the model that is served from `folder`, which lies below `root`."""
    first, *more = folder.relative_to(root).parts
    hub = hub_id(first) if "snapshots" in more else None
    return hub or "/".join((first, *more))


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []


def _revision(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_REVISION_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
