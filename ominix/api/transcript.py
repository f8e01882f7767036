"""A transcription's events as OpenAI's objects and as subtitles."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ominix.text import subtitles
from ominix.wire.events import Delta, Event, Segment, TokenLogprob, TranscriptionDone, Word

SEEK_HZ = 100  # Whisper's `seek` counts frames of 10 ms


@dataclass
class Transcript:
    """All there is to tell, once the events are through."""

    done: TranscriptionDone = field(default_factory=lambda: TranscriptionDone("", None, 0.0))
    segments: list[Segment] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)


def collected(events: Iterable[Event]) -> Transcript:
    transcript = Transcript()
    for event in events:
        if isinstance(event, Segment):
            transcript.segments.append(event)
        elif isinstance(event, Delta):
            transcript.logprobs += event.logprobs
        elif isinstance(event, TranscriptionDone):
            transcript.done = event
    return transcript


def as_json(transcript: Transcript, *, logprobs: bool) -> dict[str, Any]:
    """The `transcription` object."""
    body = {"text": transcript.done.text, "usage": _usage(transcript)}
    return {**body, "logprobs": list(map(_logprob, transcript.logprobs))} if logprobs else body


def as_verbose_json(transcript: Transcript, *, words: bool = False) -> dict[str, Any]:
    """The `transcription_verbose` object."""
    done = transcript.done
    body = {
        "task": "transcribe",
        "language": done.language or "",
        "duration": done.duration_seconds,
        "text": done.text,
        "segments": [_segment(s) for s in transcript.segments],
        "usage": _usage(transcript),
    }
    return {**body, "words": [_word(w) for s in transcript.segments for w in s.words]} if words else body


def as_text(transcript: Transcript) -> str:
    return transcript.done.text + "\n"


def as_srt(transcript: Transcript) -> str:
    return subtitles.as_srt(transcript.segments, transcript.done.duration_seconds)


def as_vtt(transcript: Transcript) -> str:
    return subtitles.as_vtt(transcript.segments, transcript.done.duration_seconds)


# response_format -> text/plain body
TEXTS = {"text": as_text, "srt": as_srt, "vtt": as_vtt}


def stream_event(event: Event, told: Sequence[TokenLogprob] = ()) -> dict[str, Any] | None:
    """The `transcription_event` object that an event becomes, if it becomes one.

    `told`: the log-probabilities of all deltas, which the last event repeats.
    Beside OpenAI's fields a segment has those of verbose_json, and the last event language and duration.
    """
    if isinstance(event, Delta):
        body: dict[str, Any] = {"type": "transcript.text.delta", "delta": event.text}
        return {**body, "logprobs": list(map(_logprob, event.logprobs))} if event.logprobs else body
    if isinstance(event, Segment):
        head = {"type": "transcript.text.segment", "id": str(event.id), "speaker": ""}
        words = {"words": list(map(_word, event.words))} if event.words else {}
        return {**_segment(event), **head, **words}
    if isinstance(event, TranscriptionDone):
        facts = {"language": event.language or "", "duration": event.duration_seconds}
        logprobs = {"logprobs": list(map(_logprob, told))} if told else {}
        done = {"type": "transcript.text.done", "text": event.text, **facts, "usage": _tokens(event)}
        return {**done, **logprobs}
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
        "seek": round(segment.start * SEEK_HZ),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": compression_ratio(segment.text),
        "no_speech_prob": segment.no_speech_prob,
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": word.start, "end": word.end}


def compression_ratio(text: str) -> float:
    """Bytes over zlib-compressed bytes, as openai/whisper defines it (whisper/utils.py): loops score high."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def _logprob(entry: TokenLogprob) -> dict[str, Any]:
    return {"token": entry.token, "logprob": entry.logprob, "bytes": list(entry.token_bytes)}
