"""`ominix transcribe FILES...`: recordings to text, with a progress bar, through a server."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix.cli import client, transcript
from ominix.cli.client import Address, Client, connected
from ominix.cli.progress import AudioBar
from ominix.cli.transcript import FORMATS, Transcript
from ominix.errors import ServerError

# What a folder is searched for; a file named by itself may be anything.
AUDIO_SUFFIXES = frozenset((
    ".wav", ".mp3", ".m4a", ".mp4", ".flac", ".ogg", ".opus", ".oga", ".webm", ".mpeg", ".mpga", ".aac",
    ".aiff", ".aif", ".caf", ".mov", ".mkv", ".amr",
))  # fmt: skip
PRIVATE_UPLOAD_MIB = "65536"  # our own server takes files of any size


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("files", nargs="+", type=Path, help="audio or video files, or folders of them")
    parser.add_argument(
        "-f", "--format", choices=tuple(FORMATS), default="txt",
        help="verbose: JSON with segments; srt, vtt: subtitles; tsv: times in milliseconds (default: txt)",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--beside", action="store_true", help="write each text beside its recording")
    where.add_argument(
        "-o", "--output-dir", "--output_dir", "--output", dest="output", type=_output, metavar="FOLDER",
        help="write files into this folder; - (the default) to the terminal",
    )  # fmt: skip
    parser.add_argument(
        "--words", action="store_true", help="the times of words too, which needs a forced aligner"
    )
    parser.add_argument("--model", help="a speech model; default: the server's default")
    parser.add_argument("--language", help="the language spoken, such as English or zh; default: heard")
    parser.add_argument("--prompt", help="names and words that are likely to occur")
    client.add_flags(parser, environ)


def _output(text: str) -> Path | None:
    """A folder that may be made yet; None: the terminal."""
    path = Path(text).expanduser().resolve()
    if text != "-" and path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return None if text == "-" else path


def run(
    *, home: Path, files: Sequence[Path], format: str, beside: bool, output: Path | None,
    words: bool, model: str | None, language: str | None, prompt: str | None, **address: Any,
) -> int:  # fmt: skip
    """The exit status: 1 if a file could not be transcribed. `address`: the fields of client.Address."""
    recordings = list(_recordings(files))
    if not recordings:
        print("ominix: no audio files there", file=sys.stderr)
        return 1
    targets = _targets(recordings, format, output) if output or beside else [None] * len(recordings)
    fields = {
        "stream": "true",
        "model": model,
        "language": language,
        "prompt": prompt,
        "timestamp_granularities[]": "word" if words else None,
    }
    given = {name: value for name, value in fields.items() if value}
    try:
        with connected(home, Address(**address), "--max-upload-mib", PRIVATE_UPLOAD_MIB) as server:
            request = Request(server, given, format, show_name=len(recordings) > 1)
            done = [request.answered(file, target) for file, target in zip(recordings, targets, strict=True)]
    except ServerError as error:
        print(f"ominix: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0 if all(done) else 1


def _recordings(given: Sequence[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        else:
            yield path


def _targets(files: Sequence[Path], format: str, output: Path | None) -> list[Path]:
    """Each text's file, in `output` or beside its recording. If two would be one, they keep their endings."""
    folders = [output or file.parent for file in files]
    shared = Counter((folder, file.stem) for folder, file in zip(folders, files, strict=True))
    return [
        folder / ((file.name if shared[folder, file.stem] > 1 else file.stem) + transcript.suffix(format))
        for folder, file in zip(folders, files, strict=True)
    ]


@dataclass(frozen=True)
class Request:
    """What is asked of the server for each recording, and in which form its text is wanted."""

    server: Client
    fields: Mapping[str, str]
    format: str
    show_name: bool

    def answered(self, file: Path, target: Path | None) -> bool:
        """Print the text, or write it to `target`. False, and the reason on standard error, without one."""
        try:
            text = FORMATS[self.format](self._ask(file))
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
            print((f"== {file} ==\n" if self.show_name else "") + text, end="")
        return True

    def _ask(self, file: Path) -> Transcript:
        """Raises OSError, ServerError."""
        found = Transcript()
        with file.open("rb") as opened, contextlib.closing(AudioBar(file.name)) as bar:
            body = {"data": self.fields, "files": {"file": ("audio", opened)}}
            for event in self.server.events("/v1/audio/transcriptions", **body):
                if isinstance(event, dict):
                    found.add(event)
                elif event.startswith("progress "):
                    done, total = map(float, event.removeprefix("progress ").split("/"))
                    bar.show(done, total or None)
        return found
