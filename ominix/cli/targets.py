"""Where `ominix transcribe` writes: a file for each recording, no two the same, none over another file.

In: recordings and what was asked for. Out: paths, or why one may not be written, before any work is done.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ominix.cli.recordings import STDIN
from ominix.errors import Conflict


@dataclass(frozen=True)
class Target:
    path: Path
    overwrite: bool

    def check(self, recordings: Sequence[Path]) -> None:
        """Raises Conflict for what would be lost, OSError for a folder that cannot be written to."""
        if any(_is_same(self.path, recording) for recording in recordings):
            raise Conflict(f"{self.path} is a recording itself; choose another folder with -o")
        if os.path.lexists(self.path) and not (self.overwrite and self.path.is_file()):
            raise Conflict(f"{self.path} is there already; --overwrite replaces it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(self.path.parent, os.W_OK):
            raise PermissionError(f"{self.path.parent} cannot be written to")

    def write(self, text: str) -> None:
        """Raises FileExistsError for a file that has come meanwhile, OSError."""
        with self.path.open("w" if self.overwrite else "x", encoding="utf-8") as file:
            file.write(text)


def targets(recordings: Sequence[Path], suffix: str, folder: Path | None, *, overwrite: bool) -> list[Target]:
    """In `folder`, or beside each recording.

    Of recordings whose texts would have one name, each keeps its ending, then gets the names of the folders
    that it is in, then a number: rec.txt, rec.wav.txt, monday-rec.wav.txt, monday-rec.wav-2.txt.
    """
    folders = [folder or file.parent for file in recordings]
    names = [_names(file) for file in recordings]
    level = [0] * len(recordings)
    while True:
        chosen = [options[min(at, len(options) - 1)] for options, at in zip(names, level, strict=True)]
        keys = [_key(place, name) for place, name in zip(folders, chosen, strict=True)]
        counts = Counter(keys)
        shared = [n for n, key in enumerate(keys) if counts[key] > 1 and level[n] < len(names[n]) - 1]
        if not shared:
            break
        for n in shared:
            level[n] += 1
    paths = (place / (name + suffix) for place, name in zip(folders, _numbered(chosen, keys), strict=True))
    return [Target(path, overwrite) for path in paths]


def _names(recording: Path) -> list[str]:
    """From the shortest on."""
    if recording == STDIN:
        return ["stdin"]
    path = recording.absolute()
    above = [folder.name for folder in path.parents if folder.name not in ("", "..")]
    longer = ("-".join([*reversed(above[:depth]), path.name]) for depth in range(1, len(above) + 1))
    return [path.stem, path.name, *longer]


def _numbered(names: Sequence[str], keys: Sequence[tuple[str, str]]) -> list[str]:
    """Those that are still the same differ by a number that none of the others has."""
    taken = set(keys)
    seen: set[tuple[str, str]] = set()
    numbered = []
    for name, key in zip(names, keys, strict=True):
        number, own = 1, key
        while own in seen or (number > 1 and own in taken):
            number += 1
            own = _key(Path(key[0]), f"{name}-{number}")
        seen.add(own)
        numbered.append(name if number == 1 else f"{name}-{number}")
    return numbered


def _key(folder: Path, name: str) -> tuple[str, str]:
    """One for names that some disks take for the same: small and large letters, composed and decomposed."""
    return str(folder), unicodedata.normalize("NFC", name).casefold()


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one is not there
        return False
