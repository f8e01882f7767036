from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ominix import locks
from ominix.errors import Unavailable
from ominix.library.downloads import Downloads
from ominix.library.records import DownloadRecord, Records

WRITER = """
import sys
from pathlib import Path
from ominix.library.records import Records
records = Records(Path(sys.argv[1]))
print("go", flush=True)
for n in range(int(sys.argv[3])):
    records.put(f"{sys.argv[2]}{n % 50}", repo_id="a/b", state="ready", message="x" * 200)
"""


def writer(home, name: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(home), name, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"go\n"
    return process


def test_what_is_put_is_there_again(tmp_path):
    records = Records(tmp_path / "home")
    assert records.all() == {}
    records.put("tiny", repo_id="a/tiny", state="downloading")
    records.put("tiny", state="ready", downloaded_at=5)
    (record,) = Records(tmp_path / "home").all().values()
    assert dataclasses.replace(record, changed_at=None) == DownloadRecord("a/tiny", "ready", downloaded_at=5)
    assert abs(record.changed_at - time.time()) < 60
    records.drop("tiny")
    assert records.all() == {}


def test_nothing_is_written_when_the_block_raises(tmp_path):
    records = Records(tmp_path)
    with pytest.raises(RuntimeError), records.changing() as known:
        known["tiny"] = DownloadRecord("a/tiny", "ready")
        raise RuntimeError
    assert records.all() == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"models": []}', b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_set_aside_and_not_fatal(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    records = Records(tmp_path)
    assert records.all() == {}
    (aside,) = tmp_path.glob("config.json.damaged-*")
    assert aside.read_bytes() == content
    records.put("tiny", repo_id="a/tiny", state="ready")
    assert set(records.all()) == {"tiny"}


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_in_place_of_the_file_is_set_aside(tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "config.json")
    else:
        (tmp_path / "config.json").symlink_to("/dev/zero")
    records = Records(tmp_path)
    assert records.all() == {}
    records.put("tiny", repo_id="a/tiny", state="ready")
    assert set(records.all()) == {"tiny"}


def test_a_damaged_file_that_cannot_be_set_aside_is_not_fatal(tmp_path):
    """Another process holds the lock; every list of models was a 503 then."""
    (tmp_path / "config.json").write_text("{")
    with locks.held(tmp_path):
        assert Records(tmp_path, lock_seconds=0.05).all() == {}


def test_a_long_message_is_cut(tmp_path):
    Records(tmp_path).put("m", repo_id="a/m", state="failed", message="m" * 100_000)
    assert len(Records(tmp_path).all()["m"].message) == 1000


def test_entries_that_make_no_sense_are_passed_over(tmp_path):
    good = {"repo_id": "a/b", "state": "ready", "future": 1}
    bad = [
        *(5, {}, {"repo_id": "a/b"}, {**good, "state": "odd"}, {**good, "state": ["ready"]}),
        *({**good, "total_bytes": "9"}, {**good, "total_bytes": -1}, {**good, "downloaded_at": 10**400}),
        *({**good, "repo_id": "a/\ud800"}, {**good, "message": "m" * 2000}),
    ]
    models = {"good": good, **{f"bad{n}": entry for n, entry in enumerate(bad)}}
    (tmp_path / "config.json").write_text(json.dumps({"models": models}))
    assert Records(tmp_path).all() == {"good": DownloadRecord("a/b", "ready")}


def test_what_others_have_put_into_the_file_stays(tmp_path):
    (tmp_path / "config.json").write_text('{"theme": "dark", "models": {}}')
    Records(tmp_path).put("tiny", repo_id="a/tiny", state="ready")
    assert json.loads((tmp_path / "config.json").read_text())["theme"] == "dark"


@pytest.mark.slow
def test_writers_in_several_processes_lose_nothing(tmp_path):
    processes = [writer(tmp_path, name, 50) for name in "abc"]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(Records(tmp_path).all()) == 150


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_one_version_or_the_next(tmp_path):
    for round_ in range(30):
        process = writer(tmp_path, "m", 100_000)
        time.sleep(0.002 * round_)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        found = json.loads((tmp_path / "config.json").read_text()) if round_ else {}
        assert isinstance(found, dict)
        Records(tmp_path).put(f"round{round_}", repo_id="a/b", state="ready")
    assert not list(tmp_path.glob("config.json.damaged*"))
    assert sum(name.startswith("round") for name in Records(tmp_path).all()) == 30
    assert {path.name for path in tmp_path.iterdir()} <= {"config.json", ".config.json.new"}


def test_locks_are_shared_or_alone(tmp_path):
    assert not locks.is_held(tmp_path)
    with locks.held(tmp_path, shared=True):
        assert locks.is_held(tmp_path)
        assert not locks.is_held(tmp_path, shared=True)
        with pytest.raises(locks.Held):
            locks.acquire(tmp_path)
    with locks.held(tmp_path):
        assert locks.is_held(tmp_path, shared=True)
    assert not locks.is_held(tmp_path)
    assert not locks.is_held(tmp_path / "nowhere")


def test_another_process_that_keeps_the_lock_holds_up_a_request_for_a_second(tmp_path):
    """It was ten, with a thread for each client that asked for a download."""
    with locks.held(tmp_path):
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="json is locked by another process; try again"):
            Downloads(tmp_path).start("a/b")
        assert 0.9 < time.monotonic() - begun < 5.0
        assert Records(tmp_path).all() == {}
