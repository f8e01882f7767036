"""`ominix import-gguf FILE`: a GGUF file becomes a model folder. A process of its own reads the file."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from ominix.config import Config


def run(config: Config, options: argparse.Namespace) -> int:
    name = options.name or options.file.stem
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", name):
        print(f"ominix: {name!r} is no name for a model; give one with --name", file=sys.stderr)
        return 1
    folder = config.models_folder / name
    if folder.exists():
        print(f"ominix: {folder} is there already", file=sys.stderr)
        return 1
    config.models_folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ominix.convert.gguf", str(options.file), str(folder)]
    return subprocess.run(command).returncode
