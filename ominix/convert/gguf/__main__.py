"""python -m ominix.convert.gguf FILE FOLDER: make a model folder of a GGUF file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ominix.convert import draft
from ominix.convert.gguf import folder
from ominix.errors import OminixError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ominix.convert.gguf", description=__doc__)
    parser.add_argument("file", type=Path, help="the GGUF file")
    parser.add_argument("folder", type=Path, help="the folder to make; must not be there yet")
    arguments = parser.parse_args()
    try:
        folder.convert(arguments.file, arguments.folder)
    except (OminixError, OSError) as error:
        print(f"ominix: {draft.reason(error)}", file=sys.stderr)
        return 1
    print(f"{arguments.file.name} -> {arguments.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
