"""create_app: collaborators in, falcon's application out. Routes stand here and nowhere else.

Who may call is asked before (parser, gate): the app itself answers anybody. `http/access` goes around it.
"""

from __future__ import annotations

from pathlib import Path

import falcon
from falcon import Request, Response, inspect

from ominix.api.absent import Absent
from ominix.api.asr import Asr, DetectLanguage
from ominix.api.chat_completions import ChatCompletions
from ominix.api.documents import Docs, Icon, Index, OpenApi
from ominix.api.downloads import DownloadList, NewDownload
from ominix.api.health import Health, Liveness
from ominix.api.models import Models
from ominix.api.transcriptions import Transcriptions
from ominix.api.translations import Translations
from ominix.config import MIB
from ominix.http.admission import Admission
from ominix.http.answers import Answers, install_error_handlers
from ominix.library.catalog import Catalog
from ominix.library.downloads import Downloads
from ominix.server.gate import Cors, Origins
from ominix.workers.pool import Pool


def create_app(
    pool: Pool,
    catalog: Catalog,
    downloads: Downloads,
    origins: Origins,
    *,
    strict: bool = False,
    max_upload_bytes: int = 16384 * MIB,
    max_chat_bytes: int = 8 * MIB,
    audio_roots: tuple[Path, ...] = (),
    ignore_unsupported: bool = False,
) -> falcon.App[Request, Response]:
    """`strict`: see Answers. `audio_roots`: folders whose files requests may name."""
    answers = Answers(strict=strict)
    app: falcon.App[Request, Response] = falcon.App(middleware=[Cors(origins)])
    app.req_options.strip_url_path_trailing_slash = True
    install_error_handlers(app)
    _add_documents(app)
    app.add_route("/health", Health(pool, answers))
    app.add_route("/livez", Liveness(answers))
    _add_management(app, pool, catalog, downloads, answers)
    work = (pool, catalog, answers, Admission())
    chat = ChatCompletions(*work, max_bytes=max_chat_bytes, ignore_unsupported=ignore_unsupported)
    app.add_route("/v1/chat/completions", chat)
    speech = Transcriptions(*work, max_bytes=max_upload_bytes, audio_roots=audio_roots)
    app.add_route("/v1/audio/transcriptions", speech)
    app.add_route("/v1/audio/translations", Translations(*work, max_bytes=max_upload_bytes))
    app.add_route("/asr", Asr(*work, max_bytes=max_upload_bytes))
    app.add_route("/detect-language", DetectLanguage(*work, max_bytes=max_upload_bytes))
    app.add_sink(Absent(route.path for route in inspect.inspect_routes(app)), "/")
    return app


def _add_documents(app: falcon.App[Request, Response]) -> None:
    app.add_route("/", Docs())
    app.add_route("/docs", Docs())
    app.add_route("/v1", Index())
    app.add_route("/favicon.ico", Icon())
    app.add_route("/openapi.json", OpenApi())


def _add_management(
    app: falcon.App[Request, Response], pool: Pool, catalog: Catalog, downloads: Downloads, answers: Answers
) -> None:
    models = Models(pool, catalog, downloads, answers)
    listed = DownloadList(downloads, answers)
    app.add_route("/v1/models", models)
    app.add_route("/v1/models/download", NewDownload(catalog, downloads, answers))
    app.add_route("/v1/models/downloads", listed)
    app.add_route("/v1/models/downloads/{model_id:path}", listed, suffix="one")
    app.add_route("/v1/models/{model_id:path}", models, suffix="one")
