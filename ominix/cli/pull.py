"""`ominix pull`: a download with a progress bar. Needs no server and may run beside one."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ominix.config import Config
from ominix.errors import OminixError
from ominix.library.catalog import Catalog
from ominix.library.child import Child, Report
from ominix.library.folders import Folders
from ominix.library.names import checked_repo_id, id_for
from ominix.library.records import Record, Records

if TYPE_CHECKING:
    from tqdm import tqdm

INTERRUPTED = 130


def run(config: Config, options: argparse.Namespace) -> int:
    """The exit status: 0 when the model is here, 1 when it is not, 130 after Ctrl-C."""
    records, folders = Records(config.home), Folders(config.home)
    try:
        repo_id = checked_repo_id(Catalog(config.models_folder, config.aliases).repository(options.model))
        with records.changing() as known:
            model_id = id_for(repo_id, known, folders)
            is_here = folders.final(model_id).exists()
            if not is_here:
                known.setdefault(model_id, Record(repo_id, "downloading"))
    except OminixError as error:
        print(f"ominix: {error.message}", file=sys.stderr)
        return 1
    if is_here:
        print(f"{model_id} is here: {folders.final(model_id)}")
        return 0
    child = Child(config.home, model_id, repo_id)
    try:
        last = _follow(child, model_id)
    except KeyboardInterrupt:
        child.end()
        print(f"\nInterrupted. 'ominix pull {options.model}' goes on where it was.", file=sys.stderr)
        return INTERRUPTED
    if last.state == "ready":
        print(f"{model_id} is ready: {folders.final(model_id)}")
        return 0
    print(f"ominix: {last.message or 'the download stopped; pull again to go on'}", file=sys.stderr)
    return 1


def _follow(child: Child, model_id: str) -> Report:
    from tqdm import tqdm  # huggingface_hub's own; not needed by any other command

    last = Report("downloading")
    with tqdm(desc=model_id, unit="B", unit_scale=True, unit_divisor=1000, mininterval=0.2) as bar:
        for last in child.reports():
            _show(bar, last)
    child.wait()
    return last


def _show(bar: tqdm[None], report: Report) -> None:
    if report.state == "failed":
        return
    if report.total is not None and bar.total is None:
        bar.reset(report.total)
        bar.initial = bar.n = bar.last_print_n = report.done  # what was there does not count for the speed
    if report.total is not None:
        bar.update(report.done - bar.n)
