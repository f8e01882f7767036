"""What is in the models folder, what each model is able to do, and which one a name means.

Reads config.json, file sizes and the records of downloads, never weights; which model is able to do what, the
families know. A broken folder is listed with what is wrong with it, and breaks nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ominix.errors import Conflict, InvalidRequest, OminixError, Unavailable
from ominix.families import scripted as test_models
from ominix.families import table
from ominix.families.family import TASKS, UNKNOWN, Family
from ominix.families.table import KNOWN, Families
from ominix.library import checkpoint
from ominix.library.lookup import Lookup
from ominix.library.model import BUILT_IN, INSTALLED, SCRIPTED, Model, printable
from ominix.library.records import DownloadRecord, Records
from ominix.wire.jobs import Helper

# What comes with the package: its models serve until real ones are installed.
EMBEDDED = tuple(Path(__file__).parents[1] / "embedded" / name for name in KNOWN.built_in)


class Catalog:
    """A view of `folder`, read anew on each call: models come and go while the server runs."""

    def __init__(
        self,
        folder: Path,
        aliases: Mapping[str, str] | None = None,
        *,
        records: Records | None = None,
        embedded: Sequence[Path] = (),
        scripted: bool = False,
        families: Families = KNOWN,
    ) -> None:
        """`aliases`: the operator's names for ids or repositories, beside those of the families."""
        self.folder = folder
        self._families = families.with_more(test_models.FAMILIES) if scripted else families
        self._aliases = aliases or {}
        self._records = records
        self._embedded = [self._built_in(path) for path in embedded]
        self._scripted = [
            Model(name, Path(path), family, SCRIPTED, owned_by="ominix")
            for name, (family, path) in (test_models.MODELS.items() if scripted else ())
        ]

    def models(self) -> list[Model]:
        records = self._known()
        found = [self._read(path, records.get(path.name)) for path in _folders(self.folder)]
        there = {model.id for model in found}
        found += [model for model in self._embedded if model.id not in there]
        return found + self._scripted

    def _known(self) -> dict[str, DownloadRecord]:
        return self._records.all() if self._records else {}

    def _read(self, path: Path, record: DownloadRecord | None) -> Model:
        found = checkpoint.read(path)
        family = self._families.claiming(found.config)
        return Model(
            printable(path.name),
            path,
            family,
            owned_by=record.repo_id.partition("/")[0] if record else "local",
            created=found.created,
            size_bytes=found.size_bytes,
            quantization=found.quantization,
            repo_id=record.repo_id if record else None,
            downloaded_at=str(record.downloaded_at) if record and record.downloaded_at else None,
            trouble=_name_trouble(path.name) or found.trouble or _family_trouble(family, found.config),
            note=family.note,
        )

    def _built_in(self, path: Path) -> Model:
        model = self._read(path, None)
        notes = (self._families.built_in.get(path.name), model.note)
        return replace(model, origin=BUILT_IN, owned_by="ominix", note="; ".join(filter(None, notes)) or None)

    def get(self, name: str, ability: str = "") -> Model:
        """The model that `name` means: an id, an alias, a repository, or a kind of model (see lookup).

        `ability`: what is asked of it. Raises ModelNotFound; Unavailable while it is being downloaded.
        """
        lookup = self._lookup()
        model = lookup.find(name, ability)
        if model is None:
            raise self._downloading(name) or lookup.absent(name, ability)
        return model

    def exact(self, name: str) -> Model:
        """As `get`, without the names that mean a kind of model: for what cannot be undone."""
        lookup = self._lookup()
        model = lookup.exact(name)
        if model is None:
            raise self._downloading(name) or lookup.absent(name)
        return model

    def _lookup(self) -> Lookup:
        return Lookup(self.models(), self._families, self._aliases)

    def repository(self, name: str) -> str:
        """What to download for this name: an alias's repository, or the name itself."""
        meant = self._aliases.get(name, name)
        return self._families.repositories.get(meant, meant)

    def _downloading(self, name: str) -> Unavailable | None:
        wanted = (name, self.repository(name))
        for model_id, record in self._known().items():
            if record.state == "downloading" and (model_id in wanted or record.repo_id in wanted):
                return Unavailable(
                    f"The model '{model_id}' is not downloaded yet; "
                    f"GET /v1/models/downloads/{model_id} says how far it is.",
                    code="model_downloading",
                )
        return None

    def able(self, name: str, ability: str) -> Model:
        """As `get`, for a request that needs a model with this ability. Raises InvalidRequest if it is none.

        Conflict for one that no request goes to, such as an aligner.
        """
        model = self.get(name, ability)
        if not model.trouble:
            self.check_ability(model, ability)
        return self.servable(model)

    @staticmethod
    def check_ability(model: Model, ability: str) -> None:
        """Raises InvalidRequest."""
        if ability not in model.abilities:
            raise InvalidRequest(
                f"The model '{model.id}' is {_article(model.task)} model; "
                f"this endpoint needs {_article(TASKS.get(ability, ability))} model.",
                param="model",
                code="model_not_supported",
            )

    def servable(self, model: Model) -> Model:
        """The same one. Raises InvalidRequest for one that cannot be served, Conflict for a mere helper."""
        if model.trouble:
            raise InvalidRequest(
                f"The model '{model.id}' cannot be served: {model.trouble}.",
                param="model",
                code="model_not_servable",
            )
        if not model.engine:
            raise Conflict(
                f"'{model.id}' is not loaded by itself: it {model.family.note}.", code="model_not_servable"
            )
        return model

    def helpers_for(self, model: Model, wanted: Collection[str]) -> dict[str, Helper]:
        """The models that do what is wanted beside the answer, such as "words".

        Raises InvalidRequest if one is not installed.
        """
        models = self.models() if wanted else []
        found = {name: self._helper(name, model, models) for name in wanted}
        return {name: Helper(helper.family.package, str(helper.path)) for name, helper in found.items()}

    def _helper(self, wanted: str, model: Model, models: list[Model]) -> Model:
        """The model itself if it can; of several installed ones the first alias of their families chooses."""
        ability = table.HELPS[wanted].ability
        if ability in model.abilities:
            return model
        usable = [m for m in models if ability in m.abilities and not m.trouble and _fits(m, model)]
        aliases = [alias for family in self._families.able(ability) for alias in family.aliases]
        named = Lookup(models, self._families, self._aliases).exact(aliases[0]) if aliases else None
        if named in usable:
            return named
        if usable:
            return usable[0]
        raise self._no_helper(wanted, model, aliases)

    def _no_helper(self, wanted: str, model: Model, aliases: list[str]) -> OminixError:
        lacks = table.HELPS[wanted]
        pull = (
            f"'ominix pull {aliases[0]}' fetches {self.repository(aliases[0])}"
            if aliases
            else "there is none"
        )
        return InvalidRequest(
            f"{lacks.need}, and none is installed for {model.id}: {pull}.", param=lacks.param, code=lacks.code
        )


def _fits(helper: Model, model: Model) -> bool:
    """Built-in helpers know nothing but the built-in models' words; scripted models keep to themselves."""
    installed = helper.origin == INSTALLED and model.origin != SCRIPTED
    return installed or helper.origin == model.origin


def _article(task: str) -> str:
    return f"{'an' if task[0] in 'aeiou' else 'a'} {task}"


def _folders(folder: Path) -> list[Path]:
    """Those that can be looked at; links count as what they lead to."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if not e.name.startswith(".") and _is_folder(e))
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to what cannot be looked at
        return False


def _name_trouble(name: str) -> str | None:
    return None if printable(name) == name else "its folder's name is not UTF-8; rename it"


def _family_trouble(family: Family, config: dict[str, object]) -> str | None:
    if family is not UNKNOWN:
        return None
    return f"its model_type {config.get('model_type')!r:.40} is not supported"
