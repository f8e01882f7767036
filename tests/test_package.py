"""What is installed is whole: schemas, packages, the console script."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_serves_from_anywhere(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, files.stdout.split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("ominix-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    for schema in (ROOT / "schemas").glob("*.json"):
        assert f"ominix/contract/{schema.name}" in names
    tracked = {name for name in files.stdout.split("\0") if name.startswith("ominix/")}
    assert tracked <= names, tracked - names
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    run = [sys.executable, "-c", "from ominix.http import schemas; schemas.warm(); print(schemas.__file__)"]
    shown = subprocess.run(run, cwd=tmp_path / "site", capture_output=True, text=True, check=True)
    assert str(tmp_path / "site") in shown.stdout


def test_each_recording_of_a_person_names_its_licence():
    folder = ROOT / "ominix" / "embedded" / "recordings"
    samples = json.loads((folder / "recordings.json").read_text("utf-8"))
    listed = {sample["file"]: sample for sample in samples}
    assert set(listed) == {file.name for file in folder.glob("*.flac")}
    licences = (folder / "LICENCES.md").read_text("utf-8")
    assert all(name in licences and sample["licence"] for name, sample in listed.items())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_500_000
