"""GET /v1/models, GET and DELETE /v1/models/{id}, POST /v1/models/{id}/load and /unload"""

from __future__ import annotations

import threading
import time
from typing import Any

import falcon
from falcon import Request, Response

from ominix.errors import Busy, ClientLeft, Conflict, InvalidRequest, ModelNotFound, Unavailable
from ominix.families import table
from ominix.families.family import UNKNOWN
from ominix.http import access, schemas
from ominix.http.answers import Answers
from ominix.http.listener import POLL_SECONDS, is_gone
from ominix.library.catalog import Catalog
from ominix.library.downloads import Downloads
from ominix.library.model import INSTALLED, Model
from ominix.library.progress import Download
from ominix.wire.jobs import DEFAULT_MAX_TOKENS
from ominix.workers.pool import Pool
from ominix.workers.process import WorkerProcess

VERBS = ("load", "unload")
MAX_WAITING = 8  # requests that wait for a load by hand, each with a thread
COMING = ("queued", "downloading", "verifying")
TROUBLE = {
    "failed": "its download failed: {message}",
    "interrupted": "its download was interrupted; ask for it again to resume",
}


class Models:
    def __init__(self, pool: Pool, catalog: Catalog, downloads: Downloads, answers: Answers) -> None:
        self._pool = pool
        self._catalog = catalog
        self._downloads = downloads
        self._answers = answers
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def on_get(self, req: Request, resp: Response) -> None:
        """What requests can be made to, now or when its download is done; `?task=` narrows it down."""
        task = req.get_param("task")
        if task is not None and task not in table.tasks():
            raise InvalidRequest(
                f"'task' must be one of {', '.join(table.tasks())}.", param="task", code="invalid_value"
            )
        models = self._catalog.models()
        listed = [self._object(model, req) for model in models if _is_listed(model, task)]
        if task is None:
            there = {model.id for model in models}
            coming = [d for d in self._downloads.all() if d.state in COMING and d.id not in there]
            pending = [self._pending(download, req) for download in coming]
            listed += [entry for entry in pending if entry is not None]
        self._answers.send(resp, "model_list", {"object": "list", "data": listed})

    def on_get_one(self, req: Request, resp: Response, model_id: str) -> None:
        _check(model_id, "GET")
        try:
            body = self._object(self._catalog.get(model_id), req)
        except (ModelNotFound, Unavailable):
            pending = self._pending_named(model_id, req)
            if pending is None:
                raise
            body = pending
        self._answers.send(resp, "model", body)

    def on_delete_one(self, req: Request, resp: Response, model_id: str) -> None:
        """Takes exact names alone: a name that means any model is nothing to delete."""
        _check(model_id, "DELETE")
        found, folder_name = self._deletable(model_id, req)
        with self._pool.without(found):
            self._downloads.delete(folder_name)
        self._answers.send(resp, "model_deleted", {"id": found, "object": "model", "deleted": True})

    def _deletable(self, name: str, req: Request) -> tuple[str, str]:
        """Its id and its folder's name."""
        pending = self._pending_named(name, req)
        if pending:
            return pending["id"], pending["id"]
        model = self._catalog.exact(name)
        if model.origin != INSTALLED:
            raise Conflict(f"The model '{model.id}' is built in: it stays.", code="model_built_in")
        return model.id, model.folder_name

    def on_post_one(self, req: Request, resp: Response, model_id: str) -> None:
        _check(model_id, "POST")
        name, _, verb = model_id.rpartition("/")
        model = self._catalog.get(name)
        if verb == "unload":
            self._pool.unload(model.id)
        else:
            self._load(req, model)
        self._answers.send(resp, "model", self._object(model, req))

    def on_options_one(self, req: Request, resp: Response, model_id: str) -> None:
        resp.set_header("Allow", ", ".join(_methods(model_id)))

    def _load(self, req: Request, model: Model) -> None:
        """Returns when it is loaded. A client that leaves does not stop it."""
        worker = self._pool.load(self._catalog.servable(model).loadable)
        if not self._waiting.acquire(blocking=False):
            raise Busy("Too many requests wait for models to load; this one loads too.")
        try:
            _await(worker, req)
        finally:
            self._waiting.release()

    def _object(self, model: Model, req: Request) -> dict[str, Any]:
        is_loaded = model.id in self._pool.loaded()
        return model_object(model, loaded=is_loaded, with_path=access.rights(req).paths)

    def _pending_named(self, name: str, req: Request) -> dict[str, Any] | None:
        downloads = [d for d in self._downloads.all() if name in (d.id, d.repo_id)]
        return self._pending(downloads[0], req) if downloads else None

    def _pending(self, download: Download, req: Request) -> dict[str, Any] | None:
        """A model that is not usable yet, as the list shows it; None for one that is, or was cancelled."""
        is_coming = download.state in COMING
        if not is_coming and download.state not in TROUBLE:
            return None
        trouble = None if is_coming else TROUBLE[download.state].format(message=download.message)
        model = Model(
            download.id,
            self._catalog.folder / download.id,
            UNKNOWN,
            owned_by=download.repo_id.partition("/")[0],
            created=0,
            size_bytes=download.bytes_done,
            repo_id=download.repo_id,
            trouble=trouble,
        )
        return {**self._object(model, req), "status": "downloading" if is_coming else "failed"}


def _is_listed(model: Model, task: str | None) -> bool:
    """A demo answers to its own name alone, and a helper to no request: who asks for one has to name it."""
    if model.is_demo:
        return False
    if task is None:
        return not model.is_helper
    return bool(model.engine or model.is_helper) and (task in model.abilities or task == model.task)


def _methods(path: str) -> list[str]:
    """One route serves a model and its verbs: a name may have slashes, so no route can go on behind it."""
    name, _, verb = path.rpartition("/")
    return ["POST"] if verb in VERBS and name else ["GET", "DELETE"]


def _check(path: str, method: str) -> None:
    """Raises falcon's 405."""
    if method not in _methods(path):
        raise falcon.HTTPMethodNotAllowed(_methods(path))


def _await(worker: WorkerProcess, req: Request) -> None:
    while not worker.loaded:
        if worker.end_reason is not None:
            raise Unavailable(f"{worker.name} {worker.end_reason}", code="model_unavailable")
        if is_gone(req):
            raise ClientLeft("the client has closed the connection")
        time.sleep(POLL_SECONDS)


def model_object(model: Model, *, loaded: bool, with_path: bool = True) -> dict[str, Any]:
    bits, group_size = model.quantization or (None, None)
    quantization = {"bits": bits, "group_size": group_size} if model.quantization else None
    known: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "path": model.shown_path if with_path else None,
        "loaded": loaded,
        "size_bytes": model.size_bytes,
        "status": "ready",
        "task": model.task,
        "abilities": sorted(model.abilities),
        "repo_id": model.repo_id,
        "quantization": quantization,
        "downloaded_at": model.downloaded_at,
        "trouble": model.trouble,
        "note": model.note,
        "sampling_defaults": _sampling_defaults(model) if "chat" in model.abilities else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _sampling_defaults(model: Model) -> dict[str, Any]:
    """What counts where a chat request says nothing."""
    fields = schemas.properties("chat_completion_request")
    own = model.settings
    return {
        "temperature": fields["temperature"]["default"],
        "top_p": fields["top_p"]["default"],
        "top_k": own.top_k,
        "min_p": own.min_p,
        "repetition_penalty": own.repetition_penalty,
        "max_tokens": own.max_tokens or DEFAULT_MAX_TOKENS,
    }
