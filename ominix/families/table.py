"""The families that ominix knows, and what can be asked of all of them together.

Whoever needs a fact about models asks here: the catalog, the download child, the schemas, messages. A new
family is a new file beside this one and its name in FAMILIES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ominix.families import minicpm_sala, mlx_lm, qwen3_asr, whisper
from ominix.families.family import UNKNOWN, Family

FAMILIES = (
    qwen3_asr.RECOGNISER,
    qwen3_asr.ALIGNER,
    whisper.TRANSLATOR,
    whisper.TRANSCRIBER,
    minicpm_sala.CHAT,
    mlx_lm.CHAT,
)

# Names that mean any model with an ability, and the one to recommend first: clients that know OpenAI's names
# for its own speech models keep working unchanged.
ANY_MODEL = {
    "transcribe": (
        "qwen3-asr",
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
    ),
}


@dataclass(frozen=True)
class Help:
    """What one model does for the jobs of another, and what is said where no model can."""

    ability: str  # of the model that does it
    need: str
    param: str  # of the request that asked for it
    code: str


HELPS = {
    "words": Help(
        ability="align",
        need="Word times need a forced aligner",
        param="timestamp_granularities",
        code="aligner_not_installed",
    ),
}


class Families:
    """Families in their order: the first that claims a config.json has it."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)

    def with_more(self, families: Iterable[Family]) -> Families:
        return Families((*self._families, *families))

    def claiming(self, config: Mapping[str, Any]) -> Family:
        """UNKNOWN if none does."""
        return next((family for family in self._families if family.claims(config)), UNKNOWN)

    def meant(self, name: str) -> Family | None:
        """The family of which a name means any model: one that is written in whatever way."""
        letters = "".join(c for c in name.lower() if c.isalpha())
        found = (f for f in self._families if f.prefix and letters.startswith(f.prefix))
        return next(found, None)

    def able(self, ability: str) -> list[Family]:
        return [family for family in self._families if ability in family.abilities]

    @property
    def abilities(self) -> list[str]:
        return sorted({ability for family in self._families for ability in family.abilities})

    @property
    def repositories(self) -> dict[str, str]:
        """Short name -> the repository it pulls."""
        return {name: repo for family in self._families for name, repo in family.aliases.items()}

    @property
    def built_in(self) -> dict[str, str]:
        """Folder in ominix/embedded -> what to say of it."""
        return {folder: note for family in self._families for folder, note in family.built_in.items()}


KNOWN = Families(FAMILIES)


def recommended(ability: str) -> str:
    """The short name to recommend to people who look for a model with it."""
    return ANY_MODEL[ability][0]


def ability_meant(name: str) -> str | None:
    """The ability of which a name means any model."""
    return next((ability for ability, names in ANY_MODEL.items() if name in names), None)
