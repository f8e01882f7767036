"""POST /v1/audio/translations: speech in any language to English text, by models that can."""

from __future__ import annotations

import contextlib

from falcon import Request, Response

from ominix.api import decoding_options
from ominix.api.transcriptions import (
    SUBTITLES,
    TEXTS,
    Transcript,
    as_json,
    as_verbose_json,
    channel_of,
    collected,
    set_notice,
    spelled,
)
from ominix.errors import InvalidRequest
from ominix.families.table import KNOWN
from ominix.http import forms, listener, media
from ominix.http.admission import Admission
from ominix.http.answers import Answers
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.library.model import Model
from ominix.wire.jobs import TranscriptionJob
from ominix.workers.pool import Pool


class Translations:
    def __init__(
        self, pool: Pool, catalog: Catalog, answers: Answers, admission: Admission, *, max_bytes: int
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._admission = admission
        self._max_bytes = max_bytes

    def on_post(self, req: Request, resp: Response) -> None:
        media.require(req, "multipart/form-data")
        with self._admission.one_at_a_time(), contextlib.ExitStack() as stack:
            fields, upload = forms.read(req, "translation_form", self._max_bytes)
            stack.callback(upload.close)
            model = translator(self._catalog, fields["model"])
            job = translation_job(fields, upload.descriptor)
            events = listener.submit(req, self._pool, model.loadable, job)
        self._answer(resp, fields["response_format"], fields["model"], collected(events))

    def _answer(self, resp: Response, response_format: str, model: str, found: Transcript) -> None:
        set_notice(resp, found.done)
        if response_format in TEXTS:
            resp.content_type = "text/plain; charset=utf-8"
            resp.data = TEXTS[response_format](found.done).encode()
        elif response_format == "verbose_json":
            body = {**as_verbose_json(found), "task": "translate", "language": spelled("English", model)}
            self._answers.send(resp, "transcription_verbose", body)
        else:
            self._answers.send(resp, "transcription", as_json(found, logprobs=False))


def translator(catalog: Catalog, name: str) -> Model:
    """Raises InvalidRequest for a model that would answer in the language of the recording."""
    model = catalog.servable(catalog.get(name, "translate"))
    if "translate" in model.abilities:
        return model
    catalog.check_ability(model, "transcribe")
    here = [m.id for m in catalog.models() if "translate" in m.abilities and m.engine]
    known = [name for family in KNOWN.able("translate") for name in family.aliases]
    able = f"here: {', '.join(here)}" if here else f"'ominix pull {known[0]}' fetches one"
    raise InvalidRequest(
        f"The model '{model.id}' writes down what is said in the language it is said in; it does not "
        f"translate. Models that can: {able}. Or use /v1/audio/transcriptions, and have a chat model "
        "translate the text.",
        param="model",
        code="translation_not_supported",
    )


def translation_job(fields: JsonObject, audio: int) -> TranscriptionJob:
    """The job that a checked request asks for."""
    job = TranscriptionJob(
        audio=audio,
        context=fields.get("prompt", ""),
        temperature=float(fields["temperature"]),
        subtitles=SUBTITLES.get(fields["response_format"]),
        channel=channel_of(fields),
        translate=True,
    )
    return decoding_options.applied(job, fields)
