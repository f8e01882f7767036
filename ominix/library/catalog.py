"""The models that are here, of whichever origin, and which one a name means.

`installed` reads the folders, the records say what was downloaded, the families who is able to do what.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ominix.errors import Conflict, InvalidRequest, OminixError, Unavailable
from ominix.families import scripted as test_models
from ominix.families import table
from ominix.families.family import TASKS
from ominix.families.table import KNOWN, Families
from ominix.library.installed import Installed
from ominix.library.lookup import Lookup
from ominix.library.model import BUILT_IN, INSTALLED, SCRIPTED, Model, printable
from ominix.library.records import DownloadRecord, Records
from ominix.wire.jobs import Helper

# What comes with the package: its models serve until real ones are installed.
EMBEDDED = tuple(Path(__file__).parents[1] / "embedded" / name for name in KNOWN.built_in)


class Catalog:
    """A view of `folder` as it is at each call: models come and go while the server runs."""

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
        self._installed = Installed(folder, self._families)
        self._others = [_built_in(path, self._families) for path in embedded]
        self._others += [
            Model(name, Path(path), family, SCRIPTED, owned_by="ominix")
            for name, (family, path) in (test_models.MODELS.items() if scripted else ())
        ]

    def models(self) -> list[Model]:
        records = self._known()
        found = [_with(records.get(model.folder_name), model) for model in self._installed.models()]
        there = {model.id for model in found}
        return found + [model for model in self._others if model.id not in there]

    def _known(self) -> Mapping[str, DownloadRecord]:
        return self._records.all() if self._records else {}

    def get(self, name: str, ability: str = "") -> Model:
        """The model that `name` means: an id, an alias, a repository, or a kind of model (see lookup).

        `ability`: what is asked of it. Raises ModelNotFound; Unavailable while it is being downloaded.
        """
        model = self._by_id(name)
        if model is not None:
            return model
        lookup = self._lookup()
        model = lookup.find(name, ability)
        if model is None:
            raise self._downloading(name) or lookup.absent(name, ability)
        return model

    def _by_id(self, name: str) -> Model | None:
        """As `Lookup` finds first, without a look at the other folders: there may be thousands."""
        folder = self._installed.folder(name)
        if folder is not None:
            model = self._installed.model(folder)
            return _with(self._known().get(model.folder_name), model)
        return next((model for model in self._others if model.id == name), None)

    def exact(self, name: str) -> Model:
        """As `get`, without the names that mean a kind of model: for what cannot be undone."""
        lookup = self._lookup()
        model = lookup.exact(printable(name))
        if model is None:
            raise self._downloading(name) or lookup.unknown(name)
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


def _built_in(folder: Path, families: Families) -> Model:
    model = Installed(folder.parent, families).model(folder)
    notes = (families.built_in.get(folder.name), model.note)
    return replace(model, origin=BUILT_IN, owned_by="ominix", note="; ".join(filter(None, notes)) or None)


def _with(record: DownloadRecord | None, model: Model) -> Model:
    """The model and what its download has left."""
    if record is None:
        return model
    return replace(
        model,
        owned_by=record.repo_id.partition("/")[0],
        repo_id=record.repo_id,
        downloaded_at=str(record.downloaded_at) if record.downloaded_at else None,
    )


def _fits(helper: Model, model: Model) -> bool:
    """Built-in helpers know nothing but the built-in models' words; scripted models keep to themselves."""
    installed = helper.origin == INSTALLED and model.origin != SCRIPTED
    return installed or helper.origin == model.origin


def _article(task: str) -> str:
    return f"{'an' if task[0] in 'aeiou' else 'a'} {task}"
