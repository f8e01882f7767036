"""`ominix doctor`: what this machine computes on, what is installed, and what would make it better."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from importlib import metadata

from ominix.cli.client import Client
from ominix.config import Config
from ominix.library.catalog import EMBEDDED, Catalog

PROBE_SECONDS = 120.0
PACKAGES = ("mlx", "mlx-lm", "falcon", "waitress", "soundfile", "av", "soxr", "huggingface_hub")


def run(config: Config, options: argparse.Namespace) -> int:
    """The exit status: 1 if mlx cannot compute here."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    print(f"ominix {_version('ominix')} on Python {platform.python_version()}, {platform.platform()}")
    print(f"packages: {versions}")
    healthy = _backend()
    _home(config)
    address = f"http://{config.host}:{config.port}"
    running = Client(address, None).answers()
    print(f"server: {'answers' if running else 'none'} at {address}")
    return 0 if healthy else 1


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _backend() -> bool:
    """mlx is asked in a process of its own: if it aborts, we say so."""
    command = [sys.executable, "-m", "ominix.engines.probe"]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"backend: BROKEN: mlx did not answer within {PROBE_SECONDS:g} s")
        return False
    if probe.returncode:
        lines = probe.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"status {probe.returncode}"
        print(f"backend: BROKEN: {reason}")
        return False
    facts = json.loads(probe.stdout)
    print(f"backend: {facts['kind']}, float32 products at {facts['gigaflops']} GFLOP/s")
    if facts["kind"] == "cpu":
        print(f"BLAS: {facts['blas'] or 'the slow one of mlx'}")
    if facts["advice"]:
        print(f"  slow: {facts['advice']}")
    return True


def _home(config: Config) -> None:
    models = Catalog(config.models_folder, config.aliases, embedded=EMBEDDED).models()
    print(f"home: {config.home}, {len(models)} models")
    for model in models:
        print(f"  {model.id}: {model.task}, {model.size_bytes / 1e9:.2f} GB" + _trouble(model.trouble))
    folder = next((p for p in (config.home, *config.home.parents) if p.exists()), config.home)
    print(f"disk: {shutil.disk_usage(folder).free / 1e9:.0f} GB free")


def _trouble(text: str | None) -> str:
    return f", cannot be served: {text}" if text else ""
