"""POST /v1/audio/transcriptions: a request -> a job, its events -> bodies."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from falcon import Request, Response
from msgspec import structs

from ominix.api import decoding_options
from ominix.errors import InvalidRequest
from ominix.families.table import KNOWN, is_openais
from ominix.http import bodies, forms, listener, media, named_files, sse
from ominix.http.admission import Admission
from ominix.http.answers import Answers
from ominix.http.schemas import JsonObject
from ominix.library.catalog import Catalog
from ominix.text import languages
from ominix.wire.events import (
    Delta,
    Event,
    Progress,
    Segment,
    Started,
    TokenLogprob,
    Track,
    TranscriptionDone,
    Word,
)
from ominix.wire.jobs import Helper, SubtitleForm, TranscriptionJob
from ominix.workers.pool import Pool

MAX_JSON_BYTES = 34 << 20  # with a recording of 25 MiB as base64; larger ones come as a form
SEEK_HZ = 100  # Whisper's `seek` counts frames of 10 ms
SUBTITLES: dict[str, SubtitleForm] = {"srt": "srt", "vtt": "vtt"}  # by response_format


class Transcriptions:
    def __init__(
        self,
        pool: Pool,
        catalog: Catalog,
        answers: Answers,
        admission: Admission,
        *,
        max_bytes: int,
        audio_roots: tuple[Path, ...],
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._answers = answers
        self._admission = admission
        self._max_bytes = max_bytes
        self._audio_roots = audio_roots

    def on_post(self, req: Request, resp: Response) -> None:
        with self._admission.one_at_a_time(), contextlib.ExitStack() as stack:
            fields, audio = self._read(req, stack)
            model = self._catalog.able(fields["model"], "transcribe")
            helpers = self._catalog.helpers_for(model, {"words"} if wants_words(fields) else ())
            job = transcription_job(fields, audio, helpers, model.family.languages)
            events = listener.submit(req, self._pool, model.loadable, job)
        if fields["stream"]:
            for event in sse.answer(resp, events, self._renderer(fields), last=b""):
                if isinstance(event, Started):
                    set_notice(resp, event)
        else:
            self._answer(resp, fields, collected(events))

    def _read(self, req: Request, stack: contextlib.ExitStack) -> tuple[JsonObject, int]:
        """The fields and the open audio file, which is closed here when `stack` is."""
        if media.require(req, "multipart/form-data", "application/json") == "application/json":
            fields = bodies.read_json(req, "transcription_request", min(self._max_bytes, MAX_JSON_BYTES))
            if "file_path" in fields:
                audio = named_files.open_below(self._audio_roots, fields["file_path"])
                stack.callback(os.close, audio)
                return fields, audio
            upload = forms.decoded(fields["input_audio"]["data"], "input_audio.data")
        else:
            fields, upload = forms.read(req, "transcription_form", self._max_bytes)
        stack.callback(upload.close)
        return fields, upload.descriptor

    def _renderer(self, fields: JsonObject) -> sse.Render:
        """Events to messages; the last has all that came with the text before."""
        told = (TranscriptionDone, Segment) if fields["multilingual"] else (TranscriptionDone,)
        logprobs: list[TokenLogprob] = []

        def messages(event: Event) -> list[bytes]:
            if isinstance(event, Started):
                return [sse.comment(f"notice: {event.notice}")] if event.notice else []
            if isinstance(event, Progress):
                return [sse.comment(f"progress {event.done_seconds:.2f}/{event.total_seconds or 0:.2f}")]
            if isinstance(event, Delta):
                logprobs.extend(event.logprobs)
            body = stream_event(event, logprobs)
            if body and isinstance(event, told):
                body["language"] = spelled(event.language, fields["model"])
            return [sse.message(self._answers.event("transcription_event", body))] if body else []

        return messages

    def _answer(self, resp: Response, fields: JsonObject, found: Transcript) -> None:
        response_format = fields["response_format"]
        set_notice(resp, found.done)
        if response_format in TEXTS:
            resp.content_type = "text/plain; charset=utf-8"
            resp.data = TEXTS[response_format](found.done).encode()
        elif response_format == "verbose_json":
            language = spelled(found.done.language, fields["model"])
            body = {**as_verbose_json(found, words=wants_words(fields)), "language": language}
            if fields["multilingual"]:
                for shown, segment in zip(body["segments"], found.segments, strict=True):
                    shown["language"] = spelled(segment.language, fields["model"])
            self._answers.send(resp, "transcription_verbose", body)
        else:
            wants_logprobs = "logprobs" in fields.get("include", [])
            self._answers.send(resp, "transcription", as_json(found, logprobs=wants_logprobs))


def wants_words(fields: JsonObject) -> bool:
    """Words are asked for, and the answer shows them, or borders that follow from them."""
    shown = fields["stream"] or fields["response_format"] in ("verbose_json", "srt", "vtt")
    return shown and "word" in fields["timestamp_granularities"]


def transcription_job(
    fields: JsonObject, audio: int, helpers: dict[str, Helper], known: Collection[str] = ()
) -> TranscriptionJob:
    """The job that a checked request asks for. `known`: the model's languages; empty: all.

    Raises InvalidRequest.
    """
    words = [fields.get("prompt", ""), fields.get("hotwords", ""), *fields.get("keywords", [])]
    job = TranscriptionJob(
        audio=audio,
        language=_language(fields, known or languages.LANGUAGES),
        context="\n".join(word for word in words if word),
        temperature=float(fields["temperature"]),
        logprobs="logprobs" in fields.get("include", []),
        helpers=helpers,
        channel=channel_of(fields),
        subtitles=None if fields["stream"] else SUBTITLES.get(fields["response_format"]),
    )
    return decoding_options.applied(job, fields)


def channel_of(fields: JsonObject) -> str | None:
    """None: the mix of all."""
    return None if fields.get("channel") in (None, "") else str(fields["channel"])


def _language(fields: JsonObject, known: Collection[str]) -> str | None:
    """The one language that is asked for; of several candidates the model chooses freely."""
    candidates = [_named(text, "languages", known) for text in fields.get("languages", [])]
    if fields.get("language"):
        return _named(fields["language"], "language", known)
    return candidates[0] if len(candidates) == 1 else None


def _named(text: str, param: str, known: Collection[str]) -> str | None:
    """Its English name; None: the model finds it out. Raises InvalidRequest."""
    if languages.means_any(text):
        return None
    name = languages.find(text)
    if name is None:
        raise InvalidRequest(
            f"'{text[:40]}' is not the name or code of a language that is known here: write German, deutsch, "
            "de or de-AT; 'auto' lets the model find out.",
            param=param,
            code="invalid_language",
        )
    if name not in known:
        raise InvalidRequest(
            f"This model does not speak {name}. It speaks: {', '.join(sorted(known))}.{_who_speaks(name)}",
            param=param,
            code="language_not_supported",
        )
    return name


def _who_speaks(language: str) -> str:
    families = KNOWN.able("transcribe")
    able = [f for f in families if f.aliases and language in (f.languages or languages.LANGUAGES)]
    return f" 'ominix pull {next(iter(able[0].aliases))}' fetches one that speaks {language}." if able else ""


def spelled(language: str | None, model: str) -> str:
    """As the API that has such a model spells it: clients look "english" up in tables of their own."""
    name = language or ""
    return name.lower() if is_openais(model) else name


@dataclass
class Transcript:
    """What a job's events add up to."""

    done: TranscriptionDone = field(default_factory=lambda: TranscriptionDone("", None, 0.0))
    track: Track | None = None
    segments: list[Segment] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)


def collected(events: Iterable[Event]) -> Transcript:
    transcript = Transcript()
    for event in events:
        if isinstance(event, Started):
            transcript.track = event.track
        elif isinstance(event, Segment):
            transcript.segments.append(event)
        elif isinstance(event, Delta):
            transcript.logprobs += event.logprobs
        elif isinstance(event, TranscriptionDone):
            transcript.done = event
    return transcript


def as_json(transcript: Transcript, *, logprobs: bool) -> dict[str, Any]:
    """The `transcription` object."""
    body = {"text": transcript.done.text, "usage": _usage(transcript), **_notice(transcript.done)}
    return {**body, "logprobs": list(map(_logprob, transcript.logprobs))} if logprobs else body


def as_verbose_json(transcript: Transcript, *, words: bool = False) -> dict[str, Any]:
    """The `transcription_verbose` object."""
    done = transcript.done
    body = {
        "task": "transcribe",
        "language": done.language or "",
        "duration": done.duration_seconds,
        "text": done.text,
        "segments": [{**_segment(s), **_speaker(s)} for s in transcript.segments],
        "usage": _usage(transcript),
        **_notice(done),
        **_language_probability(done),
        **({"track": structs.asdict(transcript.track)} if transcript.track else {}),
    }
    if not words:
        return body
    return {**body, "words": [{**_word(w), **_speaker(s)} for s in transcript.segments for w in s.words]}


def _language_probability(done: TranscriptionDone) -> dict[str, float]:
    found = done.language_probability
    return {} if found is None else {"language_probability": found}


def set_notice(resp: Response, event: Started | TranscriptionDone) -> None:
    """For the formats that have no place for it, too."""
    if event.notice:
        resp.set_header("X-Ominix-Notice", event.notice)


def _notice(done: TranscriptionDone) -> dict[str, str]:
    return {"notice": done.notice} if done.notice else {}


def _plain_text(done: TranscriptionDone) -> str:
    return done.text + "\n"


def _subtitles(done: TranscriptionDone) -> str:
    assert done.subtitles is not None  # the job has asked for them
    return done.subtitles


# response_format -> text/plain body
TEXTS = {"text": _plain_text, "srt": _subtitles, "vtt": _subtitles}


def stream_event(event: Event, sent: Sequence[TokenLogprob] = ()) -> dict[str, Any] | None:
    """The `transcription_event` object that an event becomes, if it becomes one.

    `sent`: the log-probabilities of all deltas, which the last event repeats.
    Beside OpenAI's fields a segment has those of verbose_json, and the last event language and duration.
    """
    if isinstance(event, Delta):
        body: dict[str, Any] = {"type": "transcript.text.delta", "delta": event.text}
        return {**body, "logprobs": list(map(_logprob, event.logprobs))} if event.logprobs else body
    if isinstance(event, Segment):
        head = {"type": "transcript.text.segment", "id": str(event.id), "speaker": "", **_speaker(event)}
        words = {"words": list(map(_word, event.words))} if event.words else {}
        return {**_segment(event), **head, **words}
    if isinstance(event, TranscriptionDone):
        facts = {"language": event.language or "", "duration": event.duration_seconds}
        logprobs = {"logprobs": list(map(_logprob, sent))} if sent else {}
        done = {"type": "transcript.text.done", "text": event.text, **facts, "usage": _tokens(event)}
        return {**done, **logprobs, **_notice(event), **_language_probability(event)}
    return None


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": transcript.done.duration_seconds}


def _tokens(done: TranscriptionDone) -> dict[str, Any]:
    given = done.prompt_tokens + done.audio_tokens
    return {
        "type": "tokens",
        "input_tokens": given,
        "output_tokens": done.completion_tokens,
        "total_tokens": given + done.completion_tokens,
        "input_token_details": {"text_tokens": done.prompt_tokens, "audio_tokens": done.audio_tokens},
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        "seek": round(_seek_seconds(segment) * SEEK_HZ),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": _compression(segment),
        "no_speech_prob": segment.no_speech_prob,
    }


def _seek_seconds(segment: Segment) -> float:
    return segment.start if segment.seek_seconds is None else segment.seek_seconds


def _compression(segment: Segment) -> float:
    found = segment.compression_ratio
    return compression_ratio(segment.text) if found is None else found


def _speaker(segment: Segment) -> dict[str, Any]:
    """Of channels that are transcribed separately."""
    return {} if segment.channel is None else {"channel": segment.channel, "speaker": segment.speaker}


def _word(word: Word) -> dict[str, Any]:
    body = {"word": word.text, "start": word.start, "end": word.end}
    return body if word.probability is None else {**body, "probability": word.probability}


def compression_ratio(text: str) -> float:
    """Bytes over zlib-compressed bytes, as openai/whisper defines it (whisper/utils.py): loops score high."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def _logprob(entry: TokenLogprob) -> dict[str, Any]:
    return {"token": entry.token, "logprob": entry.logprob, "bytes": list(entry.token_bytes)}
