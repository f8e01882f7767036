"""A transcript out of the server's stream, and the forms in which it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ominix.text import subtitles
from ominix.wire.events import Segment, Word


@dataclass
class Transcript:
    """What the stream's events say. Segments are as verbose_json has them, with `words` if asked for."""

    text: str = ""
    language: str = ""
    duration: float = 0.0  # seconds
    notice: str | None = None  # why not all was heard
    segments: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "transcript.text.segment":
            unsaid = ("type",) if event["speaker"] else ("type", "speaker")
            fields = {name: value for name, value in event.items() if name not in unsaid}
            self.segments.append({**fields, "id": int(event["id"])})
        elif event["type"] == "transcript.text.done":
            self.text, self.language = event["text"], event["language"]
            self.duration = event["duration"]
            self.notice = event.get("notice")


def suffix(format: str) -> str:
    return ".json" if format == "verbose" else f".{format}"


def _as_txt(found: Transcript) -> str:
    return found.text + "\n"


def _as_json(found: Transcript) -> str:
    return json.dumps({"text": found.text, "usage": _usage(found)}, ensure_ascii=False) + "\n"


def _as_verbose(found: Transcript) -> str:
    """The body of verbose_json, as the server would have answered."""
    words = [word for segment in found.segments for word in segment.get("words", ())]
    body = {
        "task": "transcribe",
        "language": found.language,
        "duration": found.duration,
        "text": found.text,
        "segments": [{k: v for k, v in segment.items() if k != "words"} for segment in found.segments],
        "usage": _usage(found),
        **({"words": words} if words else {}),
    }
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def _as_srt(found: Transcript) -> str:
    return subtitles.as_srt(_spoken(found), found.duration)


def _as_vtt(found: Transcript) -> str:
    return subtitles.as_vtt(_spoken(found), found.duration)


def _as_tsv(found: Transcript) -> str:
    return subtitles.as_tsv(_spoken(found))


def _usage(found: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": found.duration}


def _spoken(found: Transcript) -> list[Segment]:
    return [
        Segment(
            segment["id"],
            segment["start"],
            segment["end"],
            segment["text"],
            words=tuple(Word(w["word"], w["start"], w["end"]) for w in segment.get("words", ())),
            speaker=segment.get("speaker", ""),
        )
        for segment in found.segments
    ]


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": _as_txt,
    "json": _as_json,
    "verbose": _as_verbose,
    "srt": _as_srt,
    "vtt": _as_vtt,
    "tsv": _as_tsv,
}
