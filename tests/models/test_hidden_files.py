"""A model's folder that Finder has copied to a disk of another system: `._NAME` beside every file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ominix.library import checkpoint
from ominix.library.catalog import EMBEDDED
from ominix.models import claims
from ominix.models.qwen3_asr import weights as qwen3_asr
from ominix.models.whisper import weights as whisper

GOLDEN = Path(__file__).parents[1] / "golden" / "whisper"
TINY_ASR = next(folder for folder in EMBEDDED if folder.name == "tiny-asr")
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(4080)


@pytest.mark.parametrize(("model", "load"), [(TINY_ASR, qwen3_asr.load), (GOLDEN, whisper.load)])
def test_hidden_files_are_no_part_of_a_model(tmp_path, model, load):
    folder = tmp_path / "copied"
    shutil.copytree(model, folder)
    size_bytes = checkpoint.read(folder).size_bytes
    for file in list(folder.iterdir()):
        (folder / f"._{file.name}").write_bytes(APPLE_DOUBLE)
    (folder / "._weights.npz").write_bytes(APPLE_DOUBLE)

    claims.check(folder)
    load(folder)
    found = checkpoint.read(folder)
    assert (found.size_bytes, found.trouble) == (size_bytes, None)
