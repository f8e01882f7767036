"""`ominix transcribe FILES...`: recordings to text, with a progress bar, through a server."""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ominix.api import transcript
from ominix.api.transcript import Transcript
from ominix.cli.client import Client, ServerError, connected
from ominix.config import Config
from ominix.text import subtitles
from ominix.wire.events import Segment, TranscriptionDone, Word

BAR = 30  # characters
CHUNK_BYTES = 1 << 20
# What a folder is searched for; a file named by itself may be anything.
AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".mp3",
        ".m4a",
        ".mp4",
        ".flac",
        ".ogg",
        ".opus",
        ".oga",
        ".webm",
        ".mpeg",
        ".mpga",
        ".aac",
        ".aiff",
        ".aif",
        ".caf",
        ".mov",
        ".mkv",
        ".amr",
    ]
)
PRIVATE_UPLOAD_MIB = "65536"  # our own server takes files of any size


def run(config: Config, options: argparse.Namespace) -> int:
    """The exit status: 1 if a file could not be transcribed."""
    files = list(_files(options.files))
    if not files:
        print("ominix: no audio files there", file=sys.stderr)
        return 1
    failed = 0
    try:
        with connected(config, options.url, "--max-upload-mib", PRIVATE_UPLOAD_MIB) as client:
            targets = _targets(files, options)
            for file, target in zip(files, targets, strict=True):
                failed += not _transcribe(client, file, target, options, show_name=len(files) > 1)
    except ServerError as error:
        print(f"ominix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 1 if failed else 0


def _files(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        else:
            yield path


def _targets(files: list[Path], options: argparse.Namespace) -> list[Path | None]:
    """Where each text goes, None for the terminal. Files that differ in their ending alone keep it."""
    if not (options.output or options.beside):
        return [None] * len(files)
    folders = [options.output or file.parent for file in files]
    shared = Counter((folder, file.stem) for folder, file in zip(folders, files, strict=True))
    return [
        folder / ((file.name if shared[folder, file.stem] > 1 else file.stem) + SUFFIXES[options.format])
        for folder, file in zip(folders, files, strict=True)
    ]


def _transcribe(
    client: Client, file: Path, target: Path | None, options: argparse.Namespace, *, show_name: bool
) -> bool:
    try:
        text = FORMATS[options.format](_ask(client, file, options))
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except (OSError, ServerError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"ominix: {file}: {reason}", file=sys.stderr)
        return False
    if target:
        print(target, file=sys.stderr)
    else:
        print((f"== {file} ==\n" if show_name else "") + text, end="")
    return True


def _ask(client: Client, file: Path, options: argparse.Namespace) -> Transcript:
    fields = {
        "stream": "true",
        "model": options.model,
        "language": options.language,
        "prompt": options.prompt,
        "timestamp_granularities[]": "word" if options.words else None,
    }
    body, headers = _form({k: v for k, v in fields.items() if v}, file)
    found, bar = Transcript(), _Bar(file.name)
    for event in client.events("/v1/audio/transcriptions", body, headers):
        if isinstance(event, str):
            bar.show(event)
        elif event["type"] == "transcript.text.segment":
            found.segments.append(_segment(event))
        elif event["type"] == "transcript.text.done":
            found.done = TranscriptionDone(event["text"], event["language"] or None, event["duration"])
    bar.end(found.done.duration_seconds)
    return found


def _segment(event: dict[str, Any]) -> Segment:
    names = ("start", "end", "text", "temperature", "avg_logprob", "no_speech_prob")
    values = {name: event[name] for name in names}
    words = tuple(Word(word["word"], word["start"], word["end"]) for word in event.get("words", ()))
    return Segment(id=int(event["id"]), tokens=tuple(event["tokens"]), words=words, **values)


def _form(fields: dict[str, str], file: Path) -> tuple[Iterator[bytes], dict[str, str]]:
    """A multipart body that reads the file as it is sent, and its headers. Raises OSError."""
    boundary = uuid.uuid4().hex
    lead = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    )
    lead += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="audio"\r\n\r\n'.encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    length = len(lead) + file.stat().st_size + len(tail)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(length),
    }

    def parts() -> Iterator[bytes]:
        yield lead
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                yield chunk
        yield tail

    return parts(), headers


class _Bar:
    """Progress on standard error, if that is a terminal: how far, and how many times real time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = time.monotonic()
        self._shown = sys.stderr.isatty()

    def show(self, comment: str) -> None:
        word, _, numbers = comment.partition(" ")
        if word != "progress" or not self._shown:
            return
        done, total = map(float, numbers.split("/"))
        filled = int(BAR * done / total) if total else 0
        of = f"{_clock(done)}/{_clock(total)}" if total else _clock(done)
        line = f"\r{self._name[:30]} [{'#' * filled:-<{BAR}}] {of} {self._speed(done)}"
        print(line, end="\033[K", file=sys.stderr, flush=True)

    def end(self, seconds: float) -> None:
        if self._shown:
            line = f"\r{self._name}: {_clock(seconds)} of audio, {self._speed(seconds)}\033[K"
            print(line, file=sys.stderr, flush=True)

    def _speed(self, seconds: float) -> str:
        return f"{seconds / max(time.monotonic() - self._begun, 1e-3):.1f}x real time"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _as_json(found: Transcript) -> str:
    return json.dumps(transcript.as_json(found, logprobs=False), ensure_ascii=False) + "\n"


def _as_verbose(found: Transcript) -> str:
    body = transcript.as_verbose_json(found, words=any(segment.words for segment in found.segments))
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def _as_tsv(found: Transcript) -> str:
    return subtitles.as_tsv(found.segments)


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": transcript.as_text,
    "json": _as_json,
    "verbose": _as_verbose,
    "srt": transcript.as_srt,
    "vtt": transcript.as_vtt,
    "tsv": _as_tsv,
}
SUFFIXES = {name: ".json" if name == "verbose" else f".{name}" for name in FORMATS}
