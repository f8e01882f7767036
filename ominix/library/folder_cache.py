"""What was read of folders, kept until they change. Knows nothing of models.

Every request asks what the models folder holds, and a folder may have as many files as its owner likes. So
a folder is read once, and after that three files are looked at: the folder itself, its config.json and the
file in it that changed last (one that is still being copied grows, and its folder does not change).

A change is seen by the time of the last change (ctime), which nobody can set. The clock of a disk is coarse:
two changes within one of its ticks look alike. So what has changed within the last two seconds is read anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

SETTLED_SECONDS = 2.0
CONFIG = "config.json"

T = TypeVar("T")
Mark = tuple[int, int, int]  # time of the last change in ns, size, inode; zeros for what is not there


@dataclass(frozen=True)
class _Kept(Generic[T]):
    marks: tuple[Mark, ...]
    newest: str
    value: T


class FolderCache(Generic[T]):
    """Safe between threads: at worst two of them read the same folder."""

    def __init__(self, read: Callable[[Path], tuple[T, str]], clock: Callable[[], float] = time.time) -> None:
        """`read`: a folder's value, and the name of the file in it that changed last; "" for none."""
        self._read = read
        self._clock = clock
        self._kept: dict[Path, _Kept[T]] = {}

    def get(self, folder: Path) -> T:
        kept = self._kept.get(folder)
        if kept is not None and kept.marks == _marks(folder, kept.newest):
            return kept.value
        value, newest = self._read(folder)
        marks = _marks(folder, newest)
        if max(mark[0] for mark in marks) < (self._clock() - SETTLED_SECONDS) * 1e9:
            self._kept[folder] = _Kept(marks, newest, value)
        return value

    def keep(self, folders: Collection[Path]) -> None:
        """Forget all others."""
        if len(self._kept) > len(folders):
            there = set(folders)
            self._kept = {folder: kept for folder, kept in self._kept.items() if folder in there}


def _marks(folder: Path, newest: str) -> tuple[Mark, ...]:
    root = os.fspath(folder)
    return _mark(root), _mark(f"{root}/{CONFIG}"), _mark(f"{root}/{newest}")


def _mark(path: str) -> Mark:
    try:
        found = os.stat(path)  # noqa: PTH116  thousands in a request, and a Path costs more than the call
    except (OSError, ValueError):
        return (0, 0, 0)
    return (found.st_ctime_ns, found.st_size, found.st_ino)
