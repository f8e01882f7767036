"""`ominix doctor`: what this machine computes on, what is installed, and what would make it better."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from ominix import python_child
from ominix.cli import checks, terminal
from ominix.cli.flags import Flags
from ominix.cli.search import hub_endpoint

PROBE_SECONDS = 120.0
PACKAGES = ("mlx", "mlx-lm", "falcon", "waitress", "soundfile", "av", "soxr", "huggingface_hub")

EXAMPLES = """
  ominix doctor
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    Flags(parser, environ).address()
    parser.set_defaults(endpoint=hub_endpoint(environ))


def run(*, home: Path, host: str, port: int, endpoint: str) -> int:
    """The exit status: 1 if mlx cannot compute here."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    print(f"ominix {_version('ominix')} on Python {platform.python_version()}, {platform.platform()}")
    print(f"packages: {versions}")
    healthy = _backend()
    for line in (*checks.models(home), checks.hub(endpoint), checks.server(host, port)):
        terminal.say(line)
    return 0 if healthy else 1


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _backend() -> bool:
    """mlx is asked in a process of its own: if it aborts, we say so."""
    pipe = subprocess.PIPE
    with python_child.start("ominix.engines.probe", stdout=pipe, stderr=pipe, own_session=False) as probe:
        try:
            stdout, stderr = probe.communicate(timeout=PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            probe.kill()
            print(f"backend: BROKEN: mlx did not answer within {PROBE_SECONDS:g} s")
            return False
    if probe.returncode:
        lines = stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"status {probe.returncode}"
        print(f"backend: BROKEN: {reason}")
        return False
    facts = json.loads(stdout)
    print(f"backend: {facts['kind']}, float32 products at {facts['gigaflops']} GFLOP/s")
    if facts["kind"] == "cpu":
        print(f"BLAS: {facts['blas'] or 'the slow one of mlx'}")
    if facts["advice"]:
        print(f"  slow: {facts['advice']}")
    return True
