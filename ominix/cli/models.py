"""`ominix models`: the models that have a short name, with what they can do and how large they are.

Needs no network. What is known of them stands with their families.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli import table, terminal
from ominix.cli.flags import Flags
from ominix.errors import OminixError
from ominix.families.family import Family
from ominix.families.table import FAMILIES
from ominix.library.catalog import Catalog
from ominix.library.records import Records

HEAD = ("NAME", "ABILITIES", "SIZE", "LANGUAGES", "HERE")
EXAMPLES = """
  ominix models
  ominix pull qwen3-0.6b
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    Flags(parser, environ).aliases()


def run(*, home: Path, aliases: Sequence[tuple[str, str]]) -> int:
    catalog = Catalog(home / "models", dict(aliases), records=Records(home))
    rows = [_row(name, family, catalog) for family in FAMILIES for name in family.aliases]
    known = {name for family in FAMILIES for name in family.aliases}
    rows += [(name, "-", "?", "-", _here(name, catalog)) for name, _ in aliases if name not in known]
    table.show(HEAD, rows)
    terminal.say(
        "\n'ominix pull NAME' downloads one; 'ominix search WORDS' looks for others.\n"
        "Any repository of a model that mlx-lm loads can be pulled as owner/name."
    )
    return 0


def _row(name: str, family: Family, catalog: Catalog) -> tuple[str, ...]:
    gigabytes = family.download_gb.get(name)
    size = f"{gigabytes:.2g} GB" if gigabytes else "?"
    return (name, " ".join(sorted(family.abilities)), size, _languages(family), _here(name, catalog))


def _languages(family: Family) -> str:
    if "transcribe" not in family.abilities:
        return "-"
    if len(family.languages) > 1:
        return str(len(family.languages))
    return next(iter(family.languages), "many")


def _here(name: str, catalog: Catalog) -> str:
    try:
        catalog.exact(name)
    except OminixError:
        return "-"
    return "yes"
