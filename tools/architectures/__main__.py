"""Every architecture of the installed mlx-lm, as tiny random checkpoints, through the text engine.

    tools/test_models                       all of them, compared with the table in docs/models.md
    tools/test_models llama 'qwen3*'        some: names or patterns
    tools/test_models --write               the table is written anew
    tools/test_models --again               also those whose result is kept from an earlier run
    tools/test_models --ways crowd reuse    some ways of asking; such results are neither kept nor written

Each checkpoint has a process of its own, so that a crash costs one row. Results are kept in
.venv/architectures, one file a checkpoint, and a run that was stopped goes on, until ominix, this tool or a
package below changes. Exits with 1 if anything is wrong or differs from the table.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from tools.architectures import table
from tools.architectures.row import Row, row

PAGE = Path("docs") / "models.md"
KEPT = Path(".venv") / "architectures"
MOST_SECONDS = 600  # for one checkpoint
VERSIONS = ("mlx", "mlx-lm", "transformers")
SOURCES = ("ominix/**/*.py", "tools/architectures/*.py")


def names(patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """All, and those that are meant. A child lists them: it takes mlx."""
    code = "from tools.architectures import checkpoints; print(*checkpoints.names())"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = listed.stdout.split()
    meant = [name for name in found if any(fnmatch.fnmatch(name, p) for p in patterns or ["*"])]
    return found, meant


def rows(meant: Sequence[str], jobs: int, ways: Sequence[str], again: bool) -> Iterator[Row]:
    """As they end; first those that are kept."""
    state = _state()
    kept = [] if again or ways else [found for name in meant if (found := _kept(name, state))]
    yield from kept
    known = {found.name for found in kept}
    waiting, running = [name for name in meant if name not in known], dict[int, str]()
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            running[_start(name, ways, state)] = name
        child, status = os.waitpid(-1, 0)
        yield _ended(running.pop(child), status)


def _start(name: str, ways: Sequence[str], state: str) -> int:
    _file(name).unlink(missing_ok=True)
    child = os.fork()  # before anything here has imported mlx
    if child:
        return child
    try:
        logging.disable(logging.CRITICAL)  # what is wrong stands in the row
        signal.alarm(MOST_SECONDS)
        found = row(name, ways)
        _file(name).write_bytes(msgspec.json.encode((found, "" if ways else state)))
    finally:
        os._exit(0)


def _ended(name: str, status: int) -> Row:
    if _file(name).exists():
        return msgspec.json.decode(_file(name).read_bytes(), type=tuple[Row, str])[0]
    died = f"died of signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended without a word"
    return Row(name, made=f"the process {died}")


def _kept(name: str, state: str) -> Row | None:
    try:
        found, of = msgspec.json.decode(_file(name).read_bytes(), type=tuple[Row, str])
    except (OSError, msgspec.MsgspecError):
        return None
    return found if of == state else None


def _file(name: str) -> Path:
    return KEPT / f"{name}.json"


def _state() -> str:
    """Of everything that a result depends on."""
    digest = hashlib.sha256(_versions().encode())
    for pattern in SOURCES:
        for file in sorted(Path().glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _versions() -> str:
    return ", ".join(f"{package} {metadata.version(package)}" for package in VERSIONS)


def _source() -> str:
    machine = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    return f"{time.strftime('%-d %B %Y')}, `tools/test_models --write`: {machine}, {_versions()}."


def _preload() -> None:
    """What all children need and what brings no mlx, once."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    from transformers import AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401


def _shown(found: Row) -> str:
    what = found.made or found.refused or "; ".join(f"{way}: {what}" for way, what in found.wrong.items())
    return (
        f"{found.name:24} {found.caches:8} {found.batching:9} {found.verdict:8} {found.seconds:5.1f} s  "
        f"felt {found.felt:<6} {what}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="checkpoints at a time (default 2)")
    parser.add_argument("--ways", nargs="+", default=[], help="default: all")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    everything, meant = names(given.names)
    if not meant:
        parser.error(f"no checkpoint has such a name: {' '.join(given.names)}")
    _preload()
    KEPT.mkdir(parents=True, exist_ok=True)
    found = []
    for one in rows(meant, given.jobs, given.ways, given.again):
        found.append(one)
        print(_shown(one), flush=True)
    wrong = [one.name for one in found if one.wrong]
    print(f"{len(found)} checkpoints, {len(wrong)} wrong: {' '.join(wrong)}")
    if given.ways:
        return 1 if wrong else 0
    return _compared(found, everything, None if given.names else everything, given.write) or bool(wrong)


def _compared(found: Sequence[Row], everything: list[str], whole: list[str] | None, write: bool) -> int:
    """1 if the page says something else."""
    page = PAGE.read_text("utf-8")
    committed, now = table.read(page), table.lines(found)
    news = table.news(committed, now, whole)
    print("\n".join(news))
    if write:
        PAGE.write_text(table.written(page, table.merged(committed, now, everything), _source()), "utf-8")
        return 0
    return 1 if news else 0


if __name__ == "__main__":
    sys.exit(main())
