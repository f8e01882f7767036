"""Flags of `ominix transcribe` that say how a recording is gone through: fields of the request."""

from __future__ import annotations

import argparse
from typing import Any

FIELDS = ("chunking_strategy", "condition_on_previous_text")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequential", dest="chunking_strategy", action="store_const", const="sequential",
        help="go through each recording window by window, as OpenAI's Whisper does, instead of cutting it at "
        "pauses; only Whisper models can",
    )  # fmt: skip
    parser.add_argument(
        "--condition-on-previous-text", "--condition_on_previous_text", action="store_const", const="true",
        help="with --sequential: hear each window in view of the text before it",
    )  # fmt: skip


def taken(options: dict[str, Any]) -> dict[str, str | None]:
    """Those of the flags, which are no longer among the options then."""
    return {name: options.pop(name) for name in FIELDS}
