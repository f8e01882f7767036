"""`ominix pull`: a download with a progress bar. Needs no server and may run beside one."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ominix.cli.flags import Flags
from ominix.cli.progress import BytesBar
from ominix.errors import OminixError
from ominix.library.catalog import Catalog
from ominix.library.child import Child, ChildUpdate
from ominix.library.folders import Folders
from ominix.library.names import checked_repo_id, id_for
from ominix.library.records import Records, begun

INTERRUPTED = 130

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
        repo_id = checked_repo_id(Catalog(folders.models, dict(aliases)).repository(model))
        with records.changing() as known:
            model_id = id_for(repo_id, known, folders)
            is_here = folders.final(model_id).exists()
            if not is_here:
                known.setdefault(model_id, begun(repo_id))
    except OminixError as error:
        print(f"ominix: {error.message}", file=sys.stderr)
        return 1
    if is_here:
        print(f"{model_id} is here: {folders.final(model_id)}")
        return 0
    child = Child(home, model_id, repo_id)
    try:
        last = _follow(child, model_id)
    except KeyboardInterrupt:
        child.end()
        print(f"\nInterrupted. 'ominix pull {model}' goes on where it was.", file=sys.stderr)
        return INTERRUPTED
    if last.state == "ready":
        print(f"{model_id} is ready: {folders.final(model_id)}")
        return 0
    print(f"ominix: {last.message or 'the download stopped; pull again to go on'}", file=sys.stderr)
    return 1


def _follow(child: Child, model_id: str) -> ChildUpdate:
    last = ChildUpdate("downloading")
    with contextlib.closing(BytesBar(model_id)) as bar:
        for last in child.updates():
            if last.state != "failed" and last.total_bytes is not None:
                bar.show(last.done_bytes, last.total_bytes)
    child.wait()
    return last
