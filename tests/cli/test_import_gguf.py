"""What becomes of names. The conversion itself: tests/convert."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ominix.__main__ import main
from ominix.library.names import RESERVED

NEVER = [".hidden", "a b", "a/b", "ä", "-x", "..", "x" * 97, "a\nb", " "]


def refusal(capsys, home, *argv: str) -> str:
    before = sorted(home.rglob("*"))
    assert main(["--home", str(home), *argv], {}) == 1
    assert sorted(home.rglob("*")) == before
    return capsys.readouterr().err


@pytest.mark.parametrize("name", [*RESERVED, "Downloads"])
def test_a_name_that_the_api_s_paths_use_is_refused(tmp_path, capsys, name):
    said = refusal(capsys, tmp_path, "import-gguf", "x.gguf", "--name", name)
    assert said == (
        f"ominix: a model named '{name}' could not be asked for: /v1/models/{name.lower()} means "
        "something else; choose another name with --name\n"
    )


@pytest.mark.parametrize("name", NEVER)
def test_a_name_that_no_request_could_mean_is_refused(tmp_path, capsys, name):
    said = refusal(capsys, tmp_path, "import-gguf", "x.gguf", f"--name={name}")
    assert f"'{name}' cannot be the name of a model: take letters, digits" in said
    assert said.endswith("choose another name with --name\n")


def test_the_file_s_own_name_is_held_to_the_same(tmp_path, capsys):
    assert "named 'load' could not" in refusal(capsys, tmp_path, "import-gguf", "/x/load.gguf")


def test_a_model_that_is_there_or_on_its_way_is_not_touched(tmp_path, capsys):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / ".downloads" / "coming").mkdir(parents=True)
    for name in ("mine", "coming"):
        assert "there already" in refusal(capsys, tmp_path, "import-gguf", "x.gguf", "--name", name)


def test_a_reader_that_crashes_is_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "x.gguf")  # the reader waits until it is killed
    command = [sys.executable, "-m", "ominix", "--home", tmp_path, "import-gguf", tmp_path / "x.gguf"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.01)
        children[0].send_signal(signal.SIGSEGV)
        said = process.stderr.read()
    assert "ominix: the conversion crashed (SIGSEGV)" in said and "x.gguf may be damaged" in said
    assert process.returncode == 1


@pytest.mark.parametrize("command", ["import-gguf", "import-ct2"])
def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path, capsys, command):
    assert main(["--home", str(tmp_path), command, "nope.gguf"], {}) == 1
    assert capsys.readouterr().err == "ominix: nope.gguf: No such file or directory\n"
    assert list(tmp_path.iterdir()) == []
