"""`ominix search`: models for mlx on the hub, or on the mirror in HF_ENDPOINT, the most used first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from ominix.cli import table, terminal
from ominix.cli.progress import Spinner
from ominix.errors import ServerError
from ominix.families.table import KNOWN

PUBLIC_HUB = "https://huggingface.co"
SECONDS = 10.0
TASKS = {"speech": "automatic-speech-recognition", "chat": "text-generation"}  # the hub's words
HEAD = ("REPOSITORY", "TASK", "DOWNLOADS")
OFFLINE = (
    "the hub at {endpoint} cannot be reached ({reason}). Behind a proxy set HTTPS_PROXY; a mirror is named "
    "in HF_ENDPOINT. 'ominix models' lists known models without a network"
)
EXAMPLES = """
  ominix search whisper turbo
  ominix search qwen3 4bit --task chat
"""


def hub_endpoint(environ: Mapping[str, str]) -> str:
    return (environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("words", nargs="+", metavar="WORD", help="parts of the name")
    parser.add_argument("--task", choices=tuple(TASKS), help="default: any")
    parser.add_argument("--limit", type=int, default=20, metavar="COUNT", help="the longest list; default 20")
    offline = environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    parser.set_defaults(endpoint=hub_endpoint(environ), is_offline=offline)


def run(
    *, home: Path, words: Sequence[str], task: str | None, limit: int, endpoint: str, is_offline: bool
) -> int:
    """The exit status: 1 if the hub does not answer."""
    for name, repository in KNOWN.repositories.items():
        if all(word.lower() in f"{name} {repository}".lower() for word in words):
            terminal.notice(f"known here: {name} ({repository})")
    query = {
        "search": " ".join(words),
        "filter": "mlx",
        "sort": "downloads",
        "direction": "-1",
        "limit": str(max(1, min(limit, 100))),
        **({"pipeline_tag": TASKS[task]} if task else {}),
    }
    try:
        if is_offline:
            raise ServerError("HF_HUB_OFFLINE is set, so the hub is not asked; see 'ominix models'")
        with Spinner("searching"):
            found = _found(endpoint, query)
    except ServerError as error:
        terminal.complain(error.message)
        return 1
    if not found:
        terminal.notice("nothing found; fewer words find more")
        return 0
    table.show(HEAD, [_row(entry) for entry in found])
    terminal.notice("\n'ominix pull REPOSITORY' downloads one.")
    return 0


def _found(endpoint: str, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Raises ServerError."""
    try:
        answer = httpx2.get(f"{endpoint}/api/models", params=query, timeout=SECONDS, follow_redirects=True)
        answer.raise_for_status()
        entries = answer.json()
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise ServerError(OFFLINE.format(endpoint=endpoint, reason=type(error).__name__)) from None
    except httpx2.HTTPError as error:
        raise ServerError(f"the hub at {endpoint} does not answer the search: {error}") from None
    except ValueError:
        raise ServerError(f"what answers at {endpoint} is no hub") from None
    return [e for e in entries if isinstance(e, dict) and "id" in e] if isinstance(entries, list) else []


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    words = {tag: word for word, tag in TASKS.items()}
    tag = str(entry.get("pipeline_tag") or "-")
    return (str(entry["id"]), words.get(tag, tag), f"{entry.get('downloads') or 0:,}")
