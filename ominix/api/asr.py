"""POST /asr and /detect-language: the API of whisper-asr-webservice, which Bazarr speaks.

The jobs are those of /v1/audio, spelled otherwise: settings stand in the query, the recording is the form's
`audio_file` or the whole body, and `encode=false` says that it is bare samples (16 bits, mono, 16 kHz).
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from falcon import Request, Response
from msgspec import structs

from ominix.api.transcriptions import (
    TEXTS,
    Transcript,
    as_verbose_json,
    collected,
    set_notice,
    transcription_job,
    wants_words,
)
from ominix.api.translations import translator
from ominix.errors import InvalidRequest
from ominix.http import forms, listener, media
from ominix.http.admission import Admission
from ominix.http.answers import Answers
from ominix.http.forms import FileForm
from ominix.http.listener import Listener
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.text.languages import LANGUAGES
from ominix.text.subtitles import as_tsv
from ominix.wire.events import Event, Segment
from ominix.workers.pool import Pool

UNNAMED = ("application/x-www-form-urlencoded", "")  # what curl says of any file, and what nobody says
DETECT_SECONDS = 30.0  # of speech: what Whisper itself looks at
BODIES = ("multipart/form-data", "application/octet-stream", "audio/wav", *UNNAMED)
FORMATS = {"txt": "text", "json": "verbose_json", "tsv": "verbose_json", "srt": "srt", "vtt": "vtt"}
# A WAV header whose lengths say "until the end": 16-bit samples, mono, 16 kHz.
WAV_HEAD = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
WAV_HEAD += b"data\xff\xff\xff\xff"


class _Door:
    """What both endpoints share: a recording in, the events of its job out."""

    def __init__(
        self, pool: Pool, catalog: Catalog, answers: Answers, admission: Admission, *, max_bytes: int
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._admission = admission
        self._max_bytes = max_bytes

    def _heard(self, req: Request) -> tuple[JsonObject, Listener]:
        with self._admission.one_at_a_time(), contextlib.ExitStack() as stack:
            fields, upload = self._read(req)
            stack.callback(upload.close)
            is_translation = fields["task"] == "translate"
            if is_translation:
                model = translator(self._catalog, fields["model"])
            else:
                model = self._catalog.able(fields["model"], "transcribe")
            asked = _as_transcription(fields)
            helpers = self._catalog.helpers_for(model, {"words"} if wants_words(asked) else ())
            job = transcription_job(asked, upload.descriptor, helpers, model.family.languages)
            job = structs.replace(job, translate=is_translation)
            return fields, listener.submit(req, self._pool, model.loadable, job)

    def _read(self, req: Request) -> tuple[JsonObject, forms.Upload]:
        media.require(req, *BODIES)
        query = {name: value if isinstance(value, list) else [value] for name, value in req.params.items()}
        is_raw = forms.BOOLEANS.get((query.get("encode") or ["true"])[-1].lower()) is False
        form = FileForm("asr_form", self._max_bytes, WAV_HEAD if is_raw else b"")
        fields, upload = forms.read_file(req, form, query)
        if fields["encode"] == is_raw:
            upload.close()
            raise InvalidRequest("'encode' belongs into the query: /asr?encode=false.", param="encode")
        return fields, upload


class Asr(_Door):
    def on_post(self, req: Request, resp: Response) -> None:
        fields, events = self._heard(req)
        found = collected(events)
        set_notice(resp, found.done)
        if fields["output"] == "json":
            body = as_verbose_json(found, words=fields["word_timestamps"])
            told = {"task": fields["task"], "language": _code(_language(fields, found))}
            self._answers.send(resp, "transcription_verbose", {**body, **told})
            return
        is_table = fields["output"] == "tsv"
        text = as_tsv(found.segments) if is_table else TEXTS[FORMATS[fields["output"]]](found.done)
        resp.content_type = "text/plain; charset=utf-8"
        resp.data = text.encode()


class DetectLanguage(_Door):
    def on_post(self, req: Request, resp: Response) -> None:
        _, events = self._heard(req)
        with contextlib.closing(events):
            body = detection(events)
        self._answers.send(resp, "language_detection", body)


def detection(events: Iterable[Event]) -> dict[str, Any]:
    """The language of the first speech; what follows is not waited for."""
    seconds: defaultdict[str, float] = defaultdict(float)
    chances: list[float] = []
    for event in events:
        if isinstance(event, Segment) and event.language:
            seconds[event.language] += event.end - event.start
            chance = event.language_prob
            chances.append(math.exp(event.avg_logprob) if chance is None else chance)
        if sum(seconds.values()) >= DETECT_SECONDS:
            break
    language = max(seconds, key=lambda name: seconds[name], default="")
    return {
        "detected_language": language.lower(),
        "language_code": _code(language),
        # Of a model that tells no probability of a language that of the words it heard in it stands for it.
        "confidence": round(sum(chances) / len(chances), 3) if chances else 0.0,
    }


def _as_transcription(fields: JsonObject) -> JsonObject:
    """The same wishes as /v1/audio/transcriptions has them."""
    return {
        "language": fields.get("language", ""),
        "prompt": fields.get("initial_prompt", ""),
        "temperature": 0.0,
        "stream": False,
        "response_format": FORMATS[fields["output"]],
        "timestamp_granularities": ["word"] if fields["word_timestamps"] else [],
    }


def _language(fields: JsonObject, found: Transcript) -> str:
    return "English" if fields["task"] == "translate" else found.done.language or ""


def _code(language: str) -> str:
    """ISO 639-1 where there is one; "" for none."""
    return next(iter(LANGUAGES.get(language, (language.lower(),))))
