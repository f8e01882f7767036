"""One model as the rest of the server sees it: a row of the catalog. Knows no files."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ominix.families.family import Family
from ominix.library.generation import NO_SETTINGS, GenerationSettings
from ominix.wire.control import EngineSpec, Loadable

INSTALLED, BUILT_IN, SCRIPTED = "installed", "built in", "scripted"  # where a model comes from
PLAIN_BITS = 16  # a weight's that is not quantized
UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # categories: control characters, bytes that are no UTF-8, line ends


@dataclass(frozen=True)
class Model:
    """One model. With `trouble` set it cannot be served, and that is why."""

    id: str
    path: Path
    family: Family
    origin: str = INSTALLED
    owned_by: str = "local"
    created: int = 0  # seconds since the epoch
    size_bytes: int = 0
    quantization: tuple[int, int] | None = None  # bits, group size
    repo_id: str | None = None
    downloaded_at: str | None = None
    trouble: str | None = None
    note: str | None = None  # what people should know before they rely on it
    settings: GenerationSettings = NO_SETTINGS

    @property
    def abilities(self) -> frozenset[str]:
        return self.family.abilities

    @property
    def task(self) -> str:
        return self.family.task

    @property
    def engine(self) -> str:
        """Module of ominix.engines; "": no process of its own."""
        return "" if self.trouble else self.family.engine

    @property
    def is_demo(self) -> bool:
        """It comes with ominix, for trying things out, and answers to its own name alone."""
        return self.origin == BUILT_IN

    @property
    def is_helper(self) -> bool:
        """It answers no requests of its own."""
        return self.abilities == {"align"}

    @property
    def weights(self) -> int:
        """How many it has, about: to tell a large model from a small one, quantized or not."""
        bits = self.quantization[0] if self.quantization else PLAIN_BITS
        return self.size_bytes * 8 // max(1, bits)

    @property
    def loadable(self) -> Loadable:
        """What the pool has to know of it."""
        family = self.family
        spec = EngineSpec(self.engine, str(self.path), package=family.package, one_row=family.one_row)
        return Loadable(self.id, self.size_bytes, spec)

    @property
    def folder_name(self) -> str:
        """What `Folders` knows it by: below an owner its id, else as it stands on the disk."""
        return self.id if "/" in self.id else self.path.name

    @property
    def shown_path(self) -> str:
        """The path as text that can be printed and sent."""
        return printable(str(self.path))


def printable(name: str) -> str:
    """With escapes for what no terminal and no URL should be given: names on the disk may be any bytes."""
    return "".join(c if unicodedata.category(c) not in UNWRITABLE else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python writes a byte of a file's name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
