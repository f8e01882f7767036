"""Which model a name means, and what is said where it means none.

    an id, a repository  ->  that model
    an operator's alias  ->  what it stands for
    a kind of model      ->  the best one here: `whisper-1`, `large-v3`, `gpt-4o-transcribe`
    a short name         ->  the model that `ominix pull` fetches under it

Of a kind, models that can do what is asked come first, then those of the size that the name tells, then those
of the name's own family, then the family's order, then those of many languages, then the largest. A demo
model never stands in for another. In: models and names. Out: one of these models, or the error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from ominix.errors import ModelNotFound
from ominix.families.family import TASKS
from ominix.families.table import RECOMMENDED, SPEAKERS, Families, Meaning
from ominix.library.model import INSTALLED, Model

OWNER = re.compile(r"[A-Za-z0-9][\w.-]*")  # what stands before the slash of a repository
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
MAX_NAMED = 20  # models in a message
CLOSE = 0.6  # of difflib's ratio, 0 to 1
NOT_YET = "GET /v1/models lists them; POST /v1/models/download or 'ominix pull' fetch more."


class Lookup:
    """For one request: `models` are those that are here now, `aliases` the operator's."""

    def __init__(self, models: Sequence[Model], families: Families, aliases: Mapping[str, str]) -> None:
        self._models = models
        self._families = families
        self._aliases = aliases
        self._by_id = {model.id: model for model in models}
        self._by_repo = {model.repo_id: model for model in models if model.repo_id}

    def exact(self, name: str) -> Model | None:
        """Without the names that mean a kind of model: for what cannot be undone."""
        meant = self._aliases.get(name, name)
        return self._named(name) or self._named(meant) or self._pulled(meant)

    def find(self, name: str, ability: str = "") -> Model | None:
        """`ability`: what is asked of it, where that is known."""
        meant = self._aliases.get(name, name)
        return (
            self._named(name)
            or self._named(meant)
            or self._of_kind(self._families.meant(meant), ability)
            or self._pulled(meant)
        )

    def _named(self, name: str) -> Model | None:
        owner, _, last = name.rpartition("/")
        by_name = self._by_id.get(last) if OWNER.fullmatch(owner) else None
        if by_name is not None and by_name.repo_id is not None:
            by_name = None  # of that name, and of another owner
        return self._by_id.get(name) or self._by_repo.get(name) or by_name

    def _pulled(self, short_name: str) -> Model | None:
        repository = self._families.repositories.get(short_name)
        return self._named(repository) if repository else None

    def _of_kind(self, kind: Meaning | None, ability: str) -> Model | None:
        if kind is None:
            return None
        order = self._families.order
        fitting = [m for m in self._models if m.engine and m.origin == INSTALLED and kind.includes(m.family)]
        return min(
            fitting,
            key=lambda model: (
                ability not in model.abilities if ability else False,
                bool(kind.size) and kind.size not in (_size(model), model.family.size(model.repo_id or "")),
                model.family not in kind.families,
                order(model.family),
                len(model.family.languages) == 1,
                -model.weights,
            ),
            default=None,
        )

    def unknown(self, name: str) -> ModelNotFound:
        """For what needs an exact name: nobody wants to download what he deletes."""
        return ModelNotFound(
            f"The model '{name}' does not exist here.{self._close(name, '')} {self._here('')}", param="model"
        )

    def absent(self, name: str, ability: str = "") -> ModelNotFound:
        meant = self._aliases.get(name, name)
        reason = (
            self._reason(name, meant)
            or f"The model '{name}' does not exist here.{self._close(name, ability)}"
        )
        return ModelNotFound(f"{reason} {self._here(ability)}", param="model")

    def _reason(self, name: str, meant: str) -> str:
        """ "" for a name that nothing is known of."""
        kind = self._families.meant(meant)
        if SPEAKERS.fullmatch(meant.lower()):
            return f"'{name}' tells who speaks, and no model here can do that yet."
        if kind is not None:
            wanted = TASKS.get(kind.ability, "") or kind.families[0].task
            pulls = " or ".join(f"'ominix pull {short}'" for short in self._to_pull(kind, meant))
            return f"'{name}' means a {wanted} model, and none is here yet: {pulls} downloads one."
        if meant in self._families.repositories or REPOSITORY.fullmatch(meant):
            return f"The model '{name}' is not here yet: 'ominix pull {meant}' downloads it."
        return ""

    def _to_pull(self, kind: Meaning, meant: str) -> Sequence[str]:
        if meant in self._families.repositories:
            return [meant]
        short_names = [(family, short) for family in kind.families for short in family.aliases]
        sized = [short for family, short in short_names if kind.size and family.size(short) == kind.size]
        return sized[:1] or RECOMMENDED.get(kind.ability) or [short for _, short in short_names[:1]]

    def _close(self, name: str, ability: str) -> str:
        """Names that are written alike: models here, or else short names that can be pulled."""
        here = [model.id for model in self._able(ability)]
        known = [s for f in self._families.able(ability) for s in f.aliases] if ability else []
        for names, more in ((here, ""), (known, " ('ominix pull' downloads it)")):
            by_letters = {candidate.lower(): candidate for candidate in names if candidate != name}
            close = difflib.get_close_matches(name.lower(), by_letters, 1, CLOSE)
            close += [found for found in by_letters if len(name) > 2 and name.lower() in found]
            if close:
                return f" Did you mean '{by_letters[close[0]]}'?{more}"
        return ""

    def _here(self, ability: str) -> str:
        ids = [model.id for model in self._able(ability)]
        pulls = RECOMMENDED.get(ability, ())[:1]
        none = f"none; 'ominix pull {pulls[0]}' downloads one" if pulls else "none"
        there = ", ".join(ids[:MAX_NAMED]) or none
        if len(ids) > MAX_NAMED:
            there += f" and {len(ids) - MAX_NAMED:,} more"
        task = TASKS.get(ability)
        for_task = f" for {task}" if task else ""
        demos = [m.id for m in self._models if m.is_demo and m.engine and ability in m.abilities]
        demo = f" {demos[0]}, for trying things out, answers to its own name alone." if demos else ""
        return f"Models here{for_task}: {there}.{demo} {NOT_YET}"

    def _able(self, ability: str) -> list[Model]:
        models = [model for model in self._models if not model.is_demo]
        return [m for m in models if ability in m.abilities and m.engine] if ability else models


def _size(model: Model) -> str:
    return model.family.size(model.id)
