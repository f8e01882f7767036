"""`ominix pull`: a download with a progress bar. Needs no server and may run beside one."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli import terminal
from ominix.cli.flags import Flags
from ominix.cli.progress import BytesBar
from ominix.errors import OminixError
from ominix.library.catalog import Catalog
from ominix.library.child import Child, ChildUpdate
from ominix.library.folders import Folders
from ominix.library.names import checked_repo_id, id_for, in_bits, pasted
from ominix.library.records import Records, begun

EXAMPLES = """
  ominix pull whisper-base              a short name; 'ominix models' lists them
  ominix pull mlx-community/Qwen3-4B-4bit     any repository of an mlx model
  ominix pull https://huggingface.co/mlx-community/Qwen3-4B-4bit
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", metavar="MODEL", help="a short name, owner/name or web address")
    Flags(parser, environ).aliases()


def run(*, home: Path, model: str, aliases: Sequence[tuple[str, str]]) -> int:
    """The exit status: 0 when the model is here, 1 when it is not, 130 after Ctrl-C."""
    records, folders = Records(home), Folders(home)
    try:
        repo_id = checked_repo_id(_repository(model, Catalog(folders.models, dict(aliases))))
        with records.changing() as known:
            model_id = id_for(repo_id, known, folders)
            is_here = folders.is_taken(model_id)
            if not is_here:
                known.setdefault(model_id, begun(repo_id))
    except OminixError as error:
        terminal.complain(error.message)
        return 1
    if is_here:
        terminal.say(f"{model_id} is here: {folders.final(model_id)}{_next_step(model_id, folders)}")
        return 0
    child = Child(home, model_id, repo_id)
    try:
        last = _follow(child, model_id)
    except KeyboardInterrupt:
        child.end()
        terminal.notice(f"\nInterrupted. 'ominix pull {model}' goes on where it was.")
        return terminal.INTERRUPTED
    if last.state == "ready":
        terminal.say(f"{model_id} is ready: {folders.final(model_id)}{_next_step(model_id, folders)}")
        return 0
    terminal.complain(last.message or "the download stopped; pull again to go on")
    return 1


def _repository(text: str, catalog: Catalog) -> str:
    """What to pull: `whisper-base`, `owner/name`, `owner/name:8bit`, a web address. Raises InvalidRequest."""
    name, _, bits = pasted(text).partition(":")
    return in_bits(catalog.repository(name), bits)


def _next_step(model_id: str, folders: Folders) -> str:
    """What to do with it."""
    try:
        model = Catalog(folders.models).exact(model_id)
    except OminixError:
        return ""
    if model.trouble:
        return f"\nIt cannot be served: {model.trouble}"
    steps = {
        "speech": f"ominix transcribe recording.m4a --model {model.id}",
        "aligner": "ominix transcribe recording.m4a --words -f verbose",
        "chat": f"ominix chat {model.id}",
    }
    return f"\nNext: {steps[model.task]}" if model.task in steps else ""


def _follow(child: Child, model_id: str) -> ChildUpdate:
    last = ChildUpdate("downloading")
    with contextlib.closing(BytesBar(model_id)) as bar:
        for last in child.updates():
            if last.state != "failed" and (last.total_bytes is not None or last.done_bytes):
                bar.show(last.done_bytes, last.total_bytes)
    child.wait()
    return last
