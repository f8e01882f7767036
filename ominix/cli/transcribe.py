"""`ominix transcribe FILES...`: recordings to text, with a progress bar, through a server.

Texts go to standard output or to files; what is skipped, refused or under way stands on standard error. Which
files may not be written is found before any work is done; one that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ominix.cli import client, decoding_flags, offer, recordings, terminal, transcript
from ominix.cli.client import Address, Client, connected
from ominix.cli.progress import AudioBar, Spinner
from ominix.cli.recordings import STDIN
from ominix.cli.targets import Target, targets
from ominix.cli.transcript import FORMATS, Transcript
from ominix.errors import Conflict, InvalidRequest, ServerError
from ominix.families.table import recommended

MOST_NAMED = 10  # skipped files

EXAMPLES = """
  ominix transcribe interview.m4a
  ominix transcribe talks/ -f srt --beside          talks/a.mp4 -> talks/a.srt
  ominix transcribe a.mp3 b.mp3 -o texts/ --language German
  ffmpeg -i URL -f wav - | ominix transcribe -      from a pipe
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="audio or video files, folders of them, or - for standard input",
    )  # fmt: skip
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
    parser.add_argument("--overwrite", action="store_true", help="replace texts that are there already")
    parser.add_argument(
        "--words", action="store_true", help="the times of words too, which needs a forced aligner"
    )
    parser.add_argument("--model", help="a speech model; default: the server's default")
    parser.add_argument("--language", help="the language spoken, such as English or zh; default: heard")
    parser.add_argument(
        "--channel", metavar="CHANNEL",
        help="left, right, a number from 0 on, or separate: a speaker in each, as in telephone recordings; "
        "default: a mix of all",
    )  # fmt: skip
    decoding_flags.add(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="names and words that are likely to occur")
    parser.add_argument("-y", "--yes", action="store_true", help="download a missing model without asking")
    client.add_flags(parser, environ)


def _output(text: str) -> Path | None:
    """A folder that may be made yet; None: the terminal."""
    path = Path(text).expanduser().resolve()
    if text != "-" and path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return None if text == "-" else path


def run(
    *, home: Path, files: Sequence[Path], format: str, beside: bool, output: Path | None, overwrite: bool,
    words: bool, model: str | None, language: str | None, channel: str | None,
    prompt: str | None, yes: bool = False, **more: Any,
) -> int:  # fmt: skip
    """The exit status: 1 if a file could not be transcribed. `more`: of decoding_flags and client.Address."""
    found = recordings.find(files)
    _tell(found)
    if not found.files:
        terminal.complain("no audio or video files there")
        return 1
    chosen: Sequence[Target | None] = [None] * len(found.files)
    if output or beside:
        chosen = targets(found.files, transcript.suffix(format), output, overwrite=overwrite)
    work = [(f, t) for f, t in zip(found.files, chosen, strict=True) if _may_write(f, t, found.files)]
    if not work:
        return 1
    fields = {
        **decoding_flags.taken(more),
        "stream": "true",
        "model": model,
        "language": language,
        "channel": channel,
        "prompt": prompt,
        "timestamp_granularities[]": "word" if words else None,
    }
    given = {name: value for name, value in fields.items() if value}
    try:
        with connected(home, Address(**more)) as server:
            agree = offer.nobody if more.get("url") else offer.everybody if yes else offer.person
            offer.ensured(server, home, model, "transcribe", agree)
            request = Request(server, given, format, len(found.files))
            done = [request.answered(n, file, target) for n, (file, target) in enumerate(work, 1)]
    except ServerError as error:
        terminal.complain(error.message)
        return 1
    except KeyboardInterrupt:
        terminal.notice("\nstopped")
        return terminal.INTERRUPTED
    return 0 if all(done) and len(work) == len(found.files) and not found.unreadable else 1


def _tell(found: recordings.Found) -> None:
    """Which files of folders are left out."""
    for error in found.unreadable:
        terminal.complain(f"{error.filename}: {error.strerror}")
    names = [str(file) for file in found.skipped[:MOST_NAMED]]
    more = len(found.skipped) - len(names)
    if names:
        rest = f" and {more} more" if more else ""
        terminal.notice(f"skipped, as no audio or video: {', '.join(names)}{rest}")
    if found.hidden:
        terminal.notice(f"skipped: {found.hidden} hidden files")


def _may_write(file: Path, target: Target | None, files: Sequence[Path]) -> bool:
    """False, and the reason on standard error, if the text would have no place."""
    if target is None:
        return True
    try:
        target.check(files)
    except Conflict as error:
        terminal.complain(f"{file}: {error.message}")
        return False
    except OSError as error:
        terminal.complain(f"{file}: {target.path.parent}: {error.strerror or error}")
        return False
    return True


@dataclass(frozen=True)
class Request:
    """What is asked of the server for each recording, and in which form its text is wanted."""

    server: Client
    fields: Mapping[str, str]
    format: str
    count: int  # of recordings

    def answered(self, number: int, file: Path, target: Target | None) -> bool:
        """Print the text, or write it to `target`. False, and the reason on standard error, without one."""
        name = "standard input" if file == STDIN else str(file)
        short = f"{number}/{self.count} {file.name}" if self.count > 1 else name
        try:
            text = terminal.printable(FORMATS[self.format](self._ask(file, short)))
            if target:
                target.write(text)
        except FileExistsError:
            terminal.complain(f"{name}: {target and target.path} has come meanwhile and stays")
            return False
        except (OSError, ServerError, InvalidRequest) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            terminal.complain(f"{name}: {reason}")
            return False
        if target:
            terminal.notice(str(target.path))
        else:
            terminal.say((f"== {name} ==\n" if self.count > 1 else "") + text, end="")
        return True

    def _ask(self, file: Path, name: str) -> Transcript:
        """Raises OSError, InvalidRequest, ServerError."""
        found = Transcript()
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(_opened(file))
            spinner = stack.enter_context(Spinner(f"{name}: {self._expectation()}"))
            bar = stack.enter_context(contextlib.closing(AudioBar(name)))
            body = {"data": self.fields, "files": {"file": ("audio", opened)}}
            for event in self.server.events("/v1/audio/transcriptions", **body):
                spinner.stop()
                if isinstance(event, dict):
                    found.add(event)
                elif event.startswith("progress "):
                    done, total = map(float, event.removeprefix("progress ").split("/"))
                    bar.show(done, total or None)
        if found.notice:
            print(f"ominix: {name}: {found.notice}", file=sys.stderr)
        return found

    def _expectation(self) -> str:
        """What is waited for until the first event comes."""
        if not terminal.is_watched():
            return ""
        state = self.server.model(self.fields.get("model") or recommended("transcribe"))
        return "waiting" if state.loaded else f"loading {state.id}"


def _opened(file: Path) -> IO[bytes]:
    """A file with a size: what comes through a pipe is kept in one without a name first.

    Raises OSError; InvalidRequest for a terminal or device, which may never end.
    """
    opened = os.fdopen(os.dup(0), "rb") if file == STDIN else file.open("rb")
    mode = os.fstat(opened.fileno()).st_mode
    if stat.S_ISREG(mode):
        opened.seek(0)
        return opened
    with opened:
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            raise InvalidRequest("this is a terminal or a device: name a file, or pipe one in")
        kept = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        with Spinner("reading"):
            shutil.copyfileobj(opened, kept, 1 << 20)
    kept.seek(0)
    return kept
