"""`ominix stop`: unload a model from the running server, which loads it again when asked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ominix.cli import client, terminal
from ominix.cli.client import Address, running
from ominix.errors import ServerError

EXAMPLES = """
  ominix stop whisper-base
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", metavar="MODEL", help="as 'ominix ps' lists it")
    client.add_flags(parser, environ)


def run(*, home: Path, model: str, **address: Any) -> int:
    """The exit status: 1 if it could not be unloaded. `address`: the fields of client.Address."""
    try:
        with running(Address(**address)) as server:
            was_loaded = server.model(model).loaded
            found = server.post(f"/v1/models/{quote(model)}/unload")["id"]
    except ServerError as error:
        terminal.complain(error.message)
        return 1
    terminal.say(f"{found} is unloaded." if was_loaded else f"{found} was not loaded.")
    return 0
