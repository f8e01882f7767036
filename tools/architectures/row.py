"""One checkpoint's row of the table: made, loaded, asked in every way.

Nothing here brings mlx before a backend is prepared for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from tools.architectures.ways import Checker


class Row(Struct, frozen=True):
    name: str
    made: str = ""  # why it could not be made; "": it was
    felt: float = 0.0  # how much a changed first letter changes the end
    caches: str = ""
    refused: str = ""  # why the product does not serve it
    batching: str = ""
    wrong: dict[str, str] = {}  # by way; only what is wrong
    seconds: float = 0.0
    ways: tuple[str, ...] = ()  # that were asked; (): all

    @property
    def verdict(self) -> str:
        if self.made:
            return "not made"
        if self.refused:
            return "refused"
        return "wrong" if self.wrong else "right"


def row(name: str, ways: Sequence[str] = ()) -> Row:
    """`ways`: names of ways.WAYS; (): all."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ominix-architectures-") as base:
        found = _found(Path(base) / name.replace("+", "-").replace("@", "-"), name, ways)
    return Row(**found, name=name, ways=tuple(ways), seconds=round(time.monotonic() - begun, 1))


def _found(folder: Path, name: str, ways: Sequence[str]) -> dict[str, object]:
    from ominix.cpu import backend

    backend.prepare()  # before anything imports mlx
    from ominix.errors import Unavailable
    from tools.architectures import checkpoints
    from tools.architectures.asking import Asked, Reference, Trouble
    from tools.architectures.ways import Checker

    try:
        felt = checkpoints.make(folder, name)
        reference = Reference(folder)
        caches = reference.caches
        reference.steps(("Hello",), 2)
    except (Exception, SystemExit) as error:  # whatever mlx-lm makes of a small configuration
        return {"made": _sentence(error)}
    found: dict[str, object] = {"felt": round(felt, 3), "caches": caches}
    asked = Asked(folder)
    try:
        asked.load()
    except (Trouble, Unavailable) as error:
        return found | {"refused": str(error)}
    except Exception as error:  # a fault of the product, and a finding
        return found | {"wrong": {"load": _sentence(error)}}
    found["batching"] = asked.batching
    return found | {"wrong": dict(_wrong(Checker(reference, asked), ways))}


def _wrong(checker: Checker, ways: Sequence[str]) -> Iterator[tuple[str, str]]:
    from tools.architectures.ways import WAYS

    for way in ways or WAYS:
        try:
            found = WAYS[way](checker)
        except Exception as error:  # a step that raises ends a worker
            found = f"dies: {_sentence(error)}"
        if found:
            yield way, found


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]
