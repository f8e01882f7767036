"""Flags of `ominix transcribe` that say how a recording is gone through: fields of the request."""

from __future__ import annotations

import argparse
from typing import Any

FIELDS = ("chunking_strategy", "condition_on_previous_text", "beam_size", "best_of")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sequential", dest="chunking_strategy", action="store_const", const="sequential",
        help="go through each recording window by window, as OpenAI's program does, instead of cutting it "
        "at pauses; not every model can",
    )  # fmt: skip
    parser.add_argument(
        "--condition-on-previous-text", "--condition_on_previous_text", action="store_const", const="true",
        help="with --sequential: hear each window in view of the text before it",
    )  # fmt: skip
    parser.add_argument(
        "--beam-size", "--beam_size", metavar="N",
        help="follow so many answers side by side, 1 to 10, and take the most probable; not every model can",
    )  # fmt: skip
    parser.add_argument(
        "--best-of", "--best_of", metavar="N",
        help="where an answer is tried again by chance, draw so many and take the most probable, 1 to 10",
    )  # fmt: skip


def taken(options: dict[str, Any]) -> dict[str, str | None]:
    """Those of the flags, which are no longer among the options then."""
    return {name: options.pop(name) for name in FIELDS}
