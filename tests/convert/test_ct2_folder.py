"""A CTranslate2 folder becomes a model folder with the same weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
import whisper_folders as folders

from ominix.convert import ct2 as convert
from ominix.errors import Conflict, InvalidRequest
from ominix.models.whisper import weights


def same(a: Path, b: Path) -> bool:
    first, second = (folders.ours(weights.load(folder)) for folder in (a, b))
    return first.keys() == second.keys() and all(mx.array_equal(first[name], second[name]) for name in first)


def test_the_new_folder_holds_what_the_old_one_held(tmp_path):
    source = folders.ct2(tmp_path / "source")
    convert.convert([source], tmp_path / "models" / "new")
    assert same(source, tmp_path / "models" / "new")
    config = json.loads((tmp_path / "models" / "new" / "config.json").read_text())
    assert config["model_type"] == "whisper" and config["n_text_layer"] == 2
    assert weights.load(tmp_path / "models" / "new").config.alignment_heads == ((1, 0),)
    assert {file.name for file in (tmp_path / "models" / "new").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_float16_stays_float16_and_int8_becomes_it(tmp_path):
    for change in (folders.as_float16, folders.as_int8):
        source, new = tmp_path / change.__name__, tmp_path / f"{change.__name__}-new"
        convert.convert([folders.ct2(source, change)], new)
        assert mx.load(str(new / "model.safetensors"))["decoder.blocks.0.mlp1.weight"].dtype == mx.float16


def test_parts_are_put_together(tmp_path):
    source = folders.ct2(tmp_path / "source")
    whole = (source / "model.bin").read_bytes()
    parts = [source / "model.bin.part1", tmp_path / "model.bin.part2"]
    parts[0].write_bytes(whole[:100_000])
    parts[1].write_bytes(whole[100_000:])
    convert.convert(parts, tmp_path / "new")
    assert same(source, tmp_path / "new")
    assert weights.load(tmp_path / "new").config.alignment_heads == ((1, 0),)


def test_what_cannot_be_converted_leaves_nothing_behind(tmp_path):
    source = folders.ct2(tmp_path / "source")
    (source / "model.bin").write_bytes((source / "model.bin").read_bytes()[:-1])
    with pytest.raises(InvalidRequest, match="ends too early"):
        convert.convert([source], tmp_path / "models" / "new")
    (source / "model.bin").unlink()
    with pytest.raises(InvalidRequest, match=r"model\.bin"):
        convert.convert([source], tmp_path / "models" / "new")
    assert not list((tmp_path / "models").iterdir())


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    source = folders.ct2(tmp_path / "source")
    (tmp_path / "new").mkdir()
    with pytest.raises(Conflict):
        convert.convert([source], tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_the_command_makes_a_model_of_the_folder_s_name(tmp_path):
    source = folders.ct2(tmp_path / "tiny-whisper")
    command = [sys.executable, "-m", "ominix", "--home", str(tmp_path / "home"), "import-ct2", str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert same(source, tmp_path / "home" / "models" / "tiny-whisper")
    shutil.rmtree(source)
    again = subprocess.run([*command, "--name", "other"], capture_output=True, text=True)
    assert again.returncode == 1 and "No such file or directory" in again.stderr
