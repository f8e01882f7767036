"""POST /v1/models/download, GET /v1/models/downloads, GET and DELETE /v1/models/downloads/{id}"""

from __future__ import annotations

import dataclasses

from falcon import Request, Response

from ominix.errors import InvalidRequest
from ominix.http import bodies
from ominix.http.answers import Answers
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.library.downloads import Downloads
from ominix.library.progress import Download

MAX_BYTES = 64 << 10


class NewDownload:
    def __init__(self, catalog: Catalog, downloads: Downloads, answers: Answers) -> None:
        self._catalog = catalog
        self._downloads = downloads
        self._answers = answers

    def on_post(self, req: Request, resp: Response) -> None:
        fields = bodies.read_json(req, "download_request", MAX_BYTES)
        repo_id = self._catalog.repository(fields["repo_id"])
        body = {"status": "downloading", "id": self._downloads.start(repo_id), "repo_id": repo_id}
        self._answers.send(resp, "download_started", body, status=202)


class DownloadList:
    def __init__(self, downloads: Downloads, answers: Answers) -> None:
        self._downloads = downloads
        self._answers = answers

    def on_get(self, req: Request, resp: Response) -> None:
        listed = [download_object(download) for download in self._downloads.all()]
        self._answers.send(resp, "download_list", {"object": "list", "data": listed})

    def on_get_one(self, req: Request, resp: Response, model_id: str) -> None:
        self._answers.send(resp, "download", download_object(self._downloads.get(model_id)))

    def on_delete_one(self, req: Request, resp: Response, model_id: str) -> None:
        stopped = self._downloads.cancel(model_id, keep_partial=_flag(req, "keep_partial"))
        body = {"id": stopped.id, "object": "model.download", "deleted": True}
        self._answers.send(resp, "download_deleted", body)


def download_object(download: Download) -> JsonObject:
    fields = dataclasses.asdict(download)
    reason, message = fields.pop("reason"), fields.pop("message")
    error = {"code": "download_failed", "reason": reason, "message": message} if reason else None
    return {"object": "model.download", **fields, "error": error}


def _flag(req: Request, name: str) -> bool:
    """A query's true or false; absent is false. Raises InvalidRequest."""
    given = req.get_param(name, default="false")
    if given.lower() not in ("true", "false"):
        raise InvalidRequest(f"'{name}' must be true or false.", param=name, code="invalid_value")
    return given.lower() == "true"
