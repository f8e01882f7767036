"""GET /v1/models and GET /v1/models/{id}"""

from __future__ import annotations

from typing import Any

from falcon import Request, Response

from ominix.catalog import Catalog, Model
from ominix.pool.pool import Pool
from ominix.web.answers import Answers


class Models:
    def __init__(self, pool: Pool, catalog: Catalog, answers: Answers) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers

    def on_get(self, req: Request, resp: Response) -> None:
        loaded = self._pool.loaded()
        listed = [model_object(m, m.id in loaded) for m in self._catalog.models()]
        self._answers.send(resp, "model_list", {"object": "list", "data": listed})

    def on_get_one(self, req: Request, resp: Response, model_id: str) -> None:
        model = self._catalog.get(model_id)
        self._answers.send(resp, "model", model_object(model, model.id in self._pool.loaded()))


def model_object(model: Model, loaded: bool) -> dict[str, Any]:
    bits, group_size = model.quantization or (None, None)
    quantization = {"bits": bits, "group_size": group_size} if model.quantization else None
    known: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "path": str(model.path),
        "loaded": loaded,
        "size_bytes": model.size_bytes,
        "task": model.task,
        "repo_id": model.repo_id,
        "quantization": quantization,
        "downloaded_at": model.downloaded_at,
        "trouble": model.trouble,
        "note": model.note,
    }
    return {key: value for key, value in known.items() if value is not None}
