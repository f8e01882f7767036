"""A home as nobody would make it: the server starts, answers everything, and can tidy it up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.slow

LONG = "x" * 300
LISTED = ("long-type", "pipe", "folder-config", "huge", "half", "line\\x0aend", "not-utf8-\\xff")
RECORDS = {LONG: "failed", "\ud800": "failed", "odd": "odd", "dangling": "failed"}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    models = home / "models"
    for name in (*LISTED[:5], "line\nend", os.fsdecode(b"not-utf8-\xff")):
        (models / name).mkdir(parents=True)
        (models / name / "model.safetensors").write_bytes(b"12345")
    (models / "long-type" / "config.json").write_text(json.dumps({"model_type": LONG}))
    os.mkfifo(models / "pipe" / "config.json")
    (models / "folder-config" / "config.json").mkdir()
    (models / "huge" / "config.json").touch()
    os.truncate(models / "huge" / "config.json", 1 << 40)
    (models / "half" / "config.json").write_text('{"model_type": "\\ud800", "quantization": NaN}')
    (models / "dangling").symlink_to(LONG)
    entry = {"repo_id": "a/b", "reason": "odd"}
    document = {"models": {name: {**entry, "state": state} for name, state in RECORDS.items()}}
    (home / "config.json").write_text(json.dumps(document))
    return home


@pytest.mark.slow
def test_a_hostile_home_is_listed_served_and_tidied_up(serve, home):
    server = serve("--scripted", "--strict", home=home, env={"HF_HUB_OFFLINE": "1"})
    assert server.chat("hello")[0] == 200
    for path in ("/health", "/v1/models", "/v1/models/downloads", "/v1/models/nope", "/openapi.json"):
        assert server.request("GET", path)[0] == (404 if path.endswith("nope") else 200), path
    listed = {m["id"]: m for m in server.request("GET", "/v1/models")[2]["data"]}
    broken = [name for name, model in listed.items() if model.get("trouble")]
    assert set(LISTED) <= set(broken)
    for name in broken:
        assert server.chat("hello", model=name)[0] == 400
        assert server.request("DELETE", f"/v1/models/{quote(name)}")[0] == 200, name
    assert {path.name for path in (home / "models").iterdir() if path.name[0] != "."} == {"dangling"}
    status, _, body = server.request("POST", "/v1/models/download", {"repo_id": "a/dangling"})
    assert (status, body["id"]) == (202, "a--dangling")  # something has the name
    assert server.chat("hello")[0] == 200
    server.stop()
    assert "Traceback" not in server.log


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long-type", "pipe", "not-utf8-\\xff", os.fsdecode(b"not-utf8-\xff")])
def test_commands_work_on_a_hostile_home(home, name):
    def ominix(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "ominix", "--home", str(home), *arguments]
        return subprocess.run(command, capture_output=True, timeout=60, check=False)

    listed = ominix("list")
    assert listed.returncode == 0, listed.stderr
    assert b"not-utf8-\\xff" in listed.stdout
    removed = ominix("rm", name)
    assert removed.returncode == 0, removed.stderr
    assert ominix("rm", name).returncode == 1
