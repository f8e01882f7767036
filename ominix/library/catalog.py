"""What is in the models folder, what each is good for, and which one a name means.

Reads config.json, file sizes and the records of downloads, never weights. A broken folder is listed with
what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ominix.config import ALIGNER_ALIAS, REPOSITORIES, SPEECH_ALIASES
from ominix.errors import Conflict, InvalidRequest, ModelNotFound, Unavailable
from ominix.families.tasks import PACKAGES, task_of
from ominix.library import checkpoint
from ominix.library.records import Record, Records
from ominix.wire.control import EngineSpec, Loadable

ENGINES = {"chat": "text", "speech": "speech"}  # task -> module of ominix.engines
ALIGNER_NOTE = "gives words their times; a speech model loads it when a request asks for words"
# What comes with the package: the speech model is the default until a real one is installed.
EMBEDDED = tuple(Path(__file__).parents[1] / "embedded" / name for name in ("tiny-asr", "tiny-aligner"))
EMBEDDED_NOTE = "comes with ominix: sixty words, for trying things out; install a real model for real speech"
OWNER = re.compile(r"[A-Za-z0-9][\w.-]*")  # what stands before the slash of a repository
# Models of the scripted engine, one of which cannot be loaded: name -> task, path.
SCRIPTED = {
    "scripted": ("chat", Path()),
    "scripted-2": ("chat", Path()),
    "scripted-broken": ("chat", Path("broken")),
    "scripted-speech": ("speech", Path()),
    "scripted-aligner": ("aligner", Path()),
}


@dataclass(frozen=True)
class Model:
    """One model. `kind` names its engine; empty with `trouble` set: cannot be served, and why."""

    id: str
    path: Path
    task: str
    kind: str
    package: str = ""  # under ominix.models; "": mlx-lm has the architecture
    owned_by: str = "local"
    created: int = 0  # seconds since the epoch
    size_bytes: int = 0
    quantization: tuple[int, int] | None = None  # bits, group size
    repo_id: str | None = None
    downloaded_at: str | None = None
    trouble: str | None = None
    note: str | None = None  # what people should know before they rely on it

    @property
    def loadable(self) -> Loadable:
        """What the pool has to know of it."""
        return Loadable(self.id, self.size_bytes, EngineSpec(self.kind, str(self.path), package=self.package))


class Catalog:
    """A view of `folder`, read anew on each call: models come and go while the server runs."""

    def __init__(
        self,
        folder: Path,
        aliases: dict[str, str] | None = None,
        *,
        records: Records | None = None,
        embedded: Sequence[Path] = (),
        scripted: bool = False,
    ) -> None:
        """`aliases`: names for ids or repositories, beside those of REPOSITORIES."""
        self.folder = folder
        self._aliases = {**REPOSITORIES, **(aliases or {})}
        self._records = records
        self._embedded = [_built_in(path) for path in embedded]
        self._scripted = scripted

    def models(self) -> list[Model]:
        records = self._known()
        engines = {**ENGINES, "scripted": "scripted"} if self._scripted else ENGINES
        found = [_read(path, records.get(path.name), engines) for path in _folders(self.folder)]
        there = {model.id for model in found}
        found += [model for model in self._embedded if model.id not in there]
        if self._scripted:
            found += [
                Model(name, path, task=task, kind="scripted", owned_by="ominix")
                for name, (task, path) in SCRIPTED.items()
            ]
        return found

    def _known(self) -> dict[str, Record]:
        return self._records.all() if self._records else {}

    def get(self, name: str) -> Model:
        """The model that `name` means: an id, an alias, or a repository.

        Raises ModelNotFound; Unavailable while it is being downloaded.
        """
        models = self.models()
        model = self._exact(name, models) or self._by_family(name, models)
        if model is None:
            raise self._absent(name, models)
        return model

    def exact(self, name: str) -> Model:
        """As `get`, without the names that mean a kind of model: for what cannot be undone."""
        models = self.models()
        model = self._exact(name, models)
        if model is None:
            raise self._absent(name, models)
        return model

    def _exact(self, name: str, models: list[Model]) -> Model | None:
        by_id = {model.id: model for model in models}
        by_repo = {model.repo_id: model for model in models if model.repo_id}
        for meant in (name, self._aliases.get(name, "")):
            owner, _, last = meant.rpartition("/")
            by_name = by_id.get(last) if OWNER.fullmatch(owner) else None
            if by_name is not None and by_name.repo_id is not None:
                by_name = None  # of that name, and of another owner
            found = by_id.get(meant) or by_repo.get(meant) or by_name
            if found is not None:
                return found
        return None

    def repository(self, name: str) -> str:
        """What to download for this name: an alias's repository, or the name itself."""
        return self._aliases.get(name, name)

    def _absent(self, name: str, models: list[Model]) -> ModelNotFound | Unavailable:
        wanted = (name, self._aliases.get(name))
        for model_id, record in self._known().items():
            if record.state == "downloading" and (model_id in wanted or record.repo_id in wanted):
                return Unavailable(
                    f"The model '{model_id}' is not downloaded yet; "
                    f"GET /v1/models/downloads/{model_id} says how far it is.",
                    code="model_downloading",
                )
        return ModelNotFound(_missing(name, models), param="model")

    @staticmethod
    def _by_family(name: str, models: list[Model]) -> Model | None:
        """Names of a kind of model rather than of a folder."""
        if name in SPEECH_ALIASES:
            return next((m for m in models if m.task == "speech" and m.kind), None)
        wanted = _letters(name)
        if wanted.startswith("minicpmsala"):
            return next((m for m in models if "sala" in _letters(m.id) and m.kind), None)
        return None

    def for_task(self, name: str, task: str) -> Model:
        """As `get`, for a request that needs a model of this task. Raises InvalidRequest if it is none.

        Conflict for an aligner: no request goes to it.
        """
        model = self.get(name)
        if model.trouble:
            raise InvalidRequest(
                f"The model '{model.id}' cannot be served: {model.trouble}.",
                param="model",
                code="model_not_servable",
            )
        if model.task != task:
            raise InvalidRequest(
                f"The model '{model.id}' is {_article(model.task)} model; "
                f"this endpoint needs {_article(task)} model.",
                param="model",
                code="model_not_supported",
            )
        if not model.kind:
            raise Conflict(
                f"'{model.id}' is not loaded by itself: it {ALIGNER_NOTE}.", code="model_not_servable"
            )
        return model

    def aligner_for(self, model: Model) -> Model:
        """What gives the words of this speech model's texts their times. Raises InvalidRequest if none does.

        Of several installed ones ALIGNER_ALIAS chooses, else the first. The embedded one is for the embedded
        speech model alone: it knows no other words.
        """
        models = self.models()
        usable = [m for m in models if m.task == "aligner" and not m.trouble and self._fits(m, model)]
        named = self._exact(ALIGNER_ALIAS, models)
        if named in usable:
            return named
        if usable:
            return usable[0]
        raise InvalidRequest(
            f"Word times need a forced aligner, and none is installed for {model.id}: "
            f"'ominix pull {ALIGNER_ALIAS}' fetches {self.repository(ALIGNER_ALIAS)}.",
            param="timestamp_granularities",
            code="aligner_not_installed",
        )

    def _fits(self, aligner: Model, model: Model) -> bool:
        if "scripted" in (aligner.kind, model.kind):
            return aligner.kind == model.kind
        built_in = [known.path for known in self._embedded]
        return aligner.path not in built_in or model.path in built_in


def _article(task: str) -> str:
    return f"{'an' if task[0] in 'aeiou' else 'a'} {task}"


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalpha())


def _missing(name: str, models: list[Model]) -> str:
    there = ", ".join(model.id for model in models) or "none"
    return (
        f"The model '{name}' does not exist here. Models here: {there}. "
        "GET /v1/models lists them; POST /v1/models/download or 'ominix pull' fetch more."
    )


def _built_in(path: Path) -> Model:
    model = _read(path, None, ENGINES)
    return replace(model, owned_by="ominix", note="; ".join(filter(None, (EMBEDDED_NOTE, model.note))))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError:
        return []


def _read(path: Path, record: Record | None, engines: Mapping[str, str]) -> Model:
    found = checkpoint.read(path)
    task, trouble = task_of(found.config) if found.config else "unknown", found.trouble
    if found.config.get("model_type") == "scripted" and "scripted" in engines:  # in tests
        task, kind = "chat", "scripted"
    else:
        kind = engines.get(task, "")
    if task == "unknown" and trouble is None:
        trouble = f"its model_type {found.config.get('model_type')!r} is not supported"
    return Model(
        path.name,
        path,
        task=task,
        kind=kind if trouble is None else "",
        package=PACKAGES.get(str(found.config.get("model_type")), ""),
        owned_by=record.repo_id.partition("/")[0] if record else "local",
        created=found.created,
        size_bytes=found.size_bytes,
        quantization=found.quantization,
        repo_id=record.repo_id if record else None,
        downloaded_at=str(record.downloaded_at) if record and record.downloaded_at else None,
        trouble=trouble,
        note=ALIGNER_NOTE if task == "aligner" else None,
    )
