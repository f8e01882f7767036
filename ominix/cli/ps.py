"""`ominix ps`: the models that the running server has loaded, or is loading, as a table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ominix.cli import client, table, terminal
from ominix.cli.client import Address, running
from ominix.errors import ServerError

HEAD = ("NAME", "STATE", "MEMORY", "REQUESTS", "IDLE")
EXAMPLES = """
  ominix ps
  ominix ps --url 10.0.0.5:8080 --api-key SECRET
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    client.add_flags(parser, environ)


def run(*, home: Path, **address: Any) -> int:
    """The exit status: 1 if no server answers. `address`: the fields of client.Address."""
    try:
        with running(Address(**address)) as server:
            server.get("/v1/models")  # says that a key is needed, where /health says the status alone
            models = server.health().get("models", {})
    except ServerError as error:
        terminal.complain(error.message)
        return 1
    living = {name: state for name, state in models.items() if state["state"] != "ended"}
    if living:
        table.show(HEAD, [_row(name, state) for name, state in living.items()])
    else:
        terminal.say("No model is loaded; the first request for one loads it.")
    return 0


def _row(name: str, state: Mapping[str, Any]) -> tuple[str, ...]:
    idle = state.get("idle_seconds")
    shown = f"{state['state']}: {state['reason']}" if "reason" in state else state["state"]
    memory = table.size(state["memory_bytes"]) if "memory_bytes" in state else "-"
    return (name, shown, memory, str(state["jobs"]), "-" if idle is None else _duration(idle))


def _duration(seconds: float) -> str:
    """47 s, 12 min, 3 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
