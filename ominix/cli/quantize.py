"""`ominix quantize SOURCE TARGET --bits 8|4`: a smaller copy of a chat model, made in its own process."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ominix.config import Config


def run(config: Config, options: argparse.Namespace) -> int:
    """A bare name means a model of the models folder."""
    source, target = (_folder(config, text) for text in (options.source, options.target))
    if not (source / "config.json").is_file():
        print(f"ominix: {source} is not a model's folder", file=sys.stderr)
        return 1
    if target.exists():
        print(f"ominix: {target} is there already", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ominix.convert.quantize", str(source), str(target), str(options.bits)]
    status = subprocess.run(command).returncode
    if status == 0:
        print(f"{source.name} -> {target}, {options.bits} bits")
    return status


def _folder(config: Config, text: str) -> Path:
    is_name = "/" not in text and not text.startswith((".", "~"))
    return config.models_folder / text if is_name else Path(text).expanduser().absolute()
