"""The families that ominix knows, and what can be asked of all of them together.

Whoever needs a fact about models asks here: the catalog, the download child, the schemas, messages. A new
family is a new file beside this one and its name in FAMILIES.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ominix.families import minicpm_sala, mlx_lm, qwen3_asr, whisper
from ominix.families.family import TASKS, UNKNOWN, Family

FAMILIES = (
    qwen3_asr.RECOGNISER,
    qwen3_asr.ALIGNER,
    whisper.TRANSLATOR,
    whisper.ENGLISH,
    whisper.TRANSCRIBER,
    minicpm_sala.CHAT,
    mlx_lm.ONE_ROW,
    mlx_lm.CHAT,
)

# Short names to recommend to people who have no model with an ability, the best one first.
RECOMMENDED = {"transcribe": ("qwen3-asr", "whisper-base"), "chat": ("qwen3-0.6b",)}
# What a command offers to download for whoever named no model: small, and good enough to begin with.
OFFERED = {"transcribe": "whisper-base", "chat": "qwen3-0.6b"}

# Names to tell people of that mean any model with an ability. Clients that know OpenAI's names for its own
# speech models keep working unchanged.
ANY_MODEL = {
    "transcribe": (
        "qwen3-asr",
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
    ),
}
_ANY_NAME = {
    "transcribe": re.compile(r"qwen3-asr|gpt-(?:[\w.]+-)*transcribe(?:-[\w.-]+)?"),  # dated ones too
}
# Of the names that mean any speech model those that are OpenAI's own.
_OPENAI = re.compile(r"whisper-1|gpt-(?:[\w.]+-)*transcribe(?:-[\w.-]+)?")
SPEAKERS = re.compile(r".*diari[sz].*")  # names of models that tell who speaks: there are none yet


@dataclass(frozen=True)
class Meaning:
    """A kind of model, which a name means that is no model's own."""

    families: tuple[Family, ...] = ()  # models of these first
    ability: str = ""  # any model with it will do; "": of these families alone
    size: str = ""  # a model of this size first

    def includes(self, family: Family) -> bool:
        return family in self.families or self.ability in family.abilities


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

    def meant(self, name: str) -> Meaning | None:
        """The kind of model that a name means, whoever's repository it names."""
        last = name.rpartition("/")[2].lower()
        if SPEAKERS.fullmatch(last):
            return None
        found = tuple(f for f in self._families if f.names and f.names.fullmatch(last))
        if found:
            return Meaning(found, found[0].stands_in, found[0].size(last))
        able = (ability for ability, names in _ANY_NAME.items() if names.fullmatch(last))
        return next((Meaning(ability=ability) for ability in able), None)

    def order(self, family: Family) -> int:
        """Families of one package are alike."""
        packages = [known.package for known in self._families]
        return packages.index(family.package) if family.package in packages else len(packages)

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
    def download_gb(self) -> dict[str, float]:
        """Short name -> the size of what it pulls, where that is known."""
        return {name: size for family in self._families for name, size in family.download_gb.items()}

    @property
    def built_in(self) -> dict[str, str]:
        """Folder in ominix/embedded -> what to say of it."""
        return {folder: note for family in self._families for folder, note in family.built_in.items()}


KNOWN = Families(FAMILIES)


def tasks() -> list[str]:
    """What models can be asked for by: an ability, or the word that models show as their task."""
    return sorted({*KNOWN.abilities, *TASKS.values()})


def recommended(ability: str) -> str:
    """The short name to recommend to people who look for a model with it."""
    return RECOMMENDED[ability][0]


def is_openais(name: str) -> bool:
    """Whether a name is that of one of OpenAI's speech models: its clients expect OpenAI's spellings."""
    return bool(_OPENAI.fullmatch(name))
