"""python -m ominix.convert.ct2 SOURCE... FOLDER: a Whisper model of CTranslate2 becomes a model folder.

SOURCE is the folder that faster-whisper uses (model.bin, config.json), or the parts of a model.bin that was
cut to pieces, in their order; config.json is looked for beside the first. The new folder is as
mlx-whisper's: same names, weights as precise as they were (int8 and int16 become float16), alignment heads
in config.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import mlx.core as mx

from ominix.convert import draft
from ominix.errors import InvalidRequest, OminixError
from ominix.models.whisper import ct2


def convert(sources: Sequence[Path], destination: Path) -> None:
    """InvalidRequest for files that cannot be converted, Conflict for a folder that is there."""
    with draft.folder(destination) as folder:
        try:
            config, weights = ct2.load(_whole(sources, folder))
        except (ValueError, FileNotFoundError) as error:
            raise InvalidRequest(f"{sources[0]} cannot be converted: {error}") from error
        for file in folder.iterdir():
            file.unlink()
        values = {name: value for name, value in asdict(config).items() if value}
        (folder / "config.json").write_text(
            json.dumps({"model_type": "whisper", **values}, indent=1), "utf-8"
        )
        mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})


def _whole(sources: Sequence[Path], draft_folder: Path) -> Path:
    """A folder with all of model.bin: the source itself, or the draft with the parts put together."""
    if len(sources) == 1 and sources[0].is_dir():
        return sources[0]
    with (draft_folder / "model.bin").open("wb") as whole:
        for part in sources:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)
    config = sources[0].with_name("config.json")
    if config.exists():
        shutil.copy(config, draft_folder)
    return draft_folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ominix.convert.ct2", description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", help="a folder, or the parts of a model.bin")
    parser.add_argument("folder", type=Path, help="the folder to make; must not be there yet")
    arguments = parser.parse_args()
    try:
        convert(arguments.sources, arguments.folder)
    except (OminixError, OSError) as error:
        print(f"ominix: {draft.reason(error)}", file=sys.stderr)
        return 1
    print(f"{arguments.sources[0].name} -> {arguments.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
