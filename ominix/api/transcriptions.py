"""POST /v1/audio/transcriptions"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from falcon import Request, Response

from ominix.api import transcript
from ominix.errors import InvalidRequest
from ominix.http import access, bodies, forms, media, named_files, sse
from ominix.http.admission import Turns
from ominix.http.answers import Answers
from ominix.http.listener import Listener
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog, Model
from ominix.text import languages
from ominix.wire.events import Delta, Event, Progress, TokenLogprob
from ominix.wire.jobs import Cutting, Helper, TranscriptionJob
from ominix.workers.pool import Pool


class Transcriptions:
    def __init__(
        self,
        pool: Pool,
        catalog: Catalog,
        answers: Answers,
        turns: Turns,
        *,
        max_bytes: int,
        audio_roots: tuple[Path, ...],
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._turns = turns
        self._max_bytes = max_bytes
        self._audio_roots = audio_roots

    def on_post(self, req: Request, resp: Response) -> None:
        with self._turns.one(), contextlib.ExitStack() as stack:
            fields, audio = self._read(req, stack)
            model = self._catalog.for_task(fields["model"], "speech")
            helpers = {"words": self._aligner_for(model)} if wants_words(fields) else {}
            job = transcription_job(fields, audio, helpers)
            access.record(req).submitted(model.id)
            listener = Listener(req, self._pool.submit(model.loadable, job))
        if fields["stream"]:
            sse.answer(resp, listener, self._renderer(), last=b"")
        else:
            self._answer(resp, fields, transcript.collected(listener))

    def _aligner_for(self, model: Model) -> Helper:
        aligner = self._catalog.aligner_for(model)
        return Helper(aligner.package, str(aligner.path))

    def _read(self, req: Request, stack: contextlib.ExitStack) -> tuple[JsonObject, int]:
        """The fields and the open audio file, which is closed here when `stack` is."""
        if media.require(req, "multipart/form-data", "application/json") == "application/json":
            fields = bodies.read_json(req, "transcription_request", self._max_bytes)
            audio = named_files.open_below(self._audio_roots, fields["file_path"])
            stack.callback(os.close, audio)
            return fields, audio
        fields, upload = forms.read(req, "transcription_form", self._max_bytes)
        stack.callback(upload.close)
        return fields, upload.descriptor

    def _renderer(self) -> sse.Render:
        """Events to messages; the last has all that came with the text before."""
        told: list[TokenLogprob] = []

        def messages(event: Event) -> list[bytes]:
            if isinstance(event, Progress):
                return [sse.comment(f"progress {event.done_seconds:.2f}/{event.total_seconds or 0:.2f}")]
            if isinstance(event, Delta):
                told.extend(event.logprobs)
            body = transcript.stream_event(event, told)
            return [sse.message(self._answers.event("transcription_event", body))] if body else []

        return messages

    def _answer(self, resp: Response, fields: JsonObject, found: transcript.Transcript) -> None:
        response_format = fields["response_format"]
        if response_format in transcript.TEXTS:
            resp.content_type = "text/plain; charset=utf-8"
            resp.data = transcript.TEXTS[response_format](found).encode()
        elif response_format == "verbose_json":
            body = transcript.as_verbose_json(found, words=wants_words(fields))
            self._answers.send(resp, "transcription_verbose", body)
        else:
            wants_logprobs = "logprobs" in fields.get("include", [])
            self._answers.send(resp, "transcription", transcript.as_json(found, logprobs=wants_logprobs))


def wants_words(fields: JsonObject) -> bool:
    """Words are asked for, and the answer shows them, or borders that follow from them."""
    shown = fields["stream"] or fields["response_format"] in ("verbose_json", "srt", "vtt")
    return shown and "word" in fields["timestamp_granularities"]


def transcription_job(fields: JsonObject, audio: int, helpers: dict[str, Helper]) -> TranscriptionJob:
    """The job that a checked request asks for. Raises InvalidRequest."""
    words = [fields.get("prompt", ""), *fields.get("keywords", [])]
    return TranscriptionJob(
        audio=audio,
        language=_language(fields),
        context="\n".join(word for word in words if word),
        temperature=float(fields["temperature"]),
        logprobs="logprobs" in fields.get("include", []),
        cutting=_cutting(fields.get("chunking_strategy", "auto")),
        helpers=helpers,
    )


def _cutting(strategy: str | JsonObject) -> Cutting:
    """OpenAI's numbers and defaults for server_vad, our own for auto."""
    if isinstance(strategy, str):
        return Cutting()
    return Cutting(
        threshold=strategy.get("threshold", 0.5),
        padding_seconds=strategy.get("prefix_padding_ms", 300) / 1000,
        silence_seconds=strategy.get("silence_duration_ms", 200) / 1000,
        shortest_seconds=0.0,
    )


def _language(fields: JsonObject) -> str | None:
    """The one language that is asked for; of several candidates the model chooses freely."""
    candidates = [_named(text, "languages") for text in fields.get("languages", [])]
    if fields.get("language"):
        return _named(fields["language"], "language")
    return candidates[0] if len(candidates) == 1 else None


def _named(text: str, param: str) -> str | None:
    """Its English name. Raises InvalidRequest."""
    if text.strip().lower() in ("", "auto"):
        return None
    name = languages.find(text)
    if name is None:
        raise InvalidRequest(
            f"The language '{text[:40]}' is not known. Known are: {', '.join(languages.LANGUAGES)}.",
            param=param,
            code="invalid_language",
        )
    return name
