"""A new model folder, all or nothing: written beside its place under a hidden name, renamed at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ominix.errors import Conflict


@contextmanager
def folder(destination: Path) -> Iterator[Path]:
    """The draft to write into; it is the destination after the block, and gone if the block raises.

    Raises Conflict for a folder that is there.
    """
    if destination.exists():
        raise Conflict(f"{destination} is there already")
    destination.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp lets its owner in alone
        draft.replace(destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def reason(error: Exception) -> str:
    """Why a conversion failed, without the numbers of the system."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
