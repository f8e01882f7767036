from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from ominix.api.downloads import download_object
from ominix.errors import Busy, Conflict, OminixError
from ominix.http import schemas
from ominix.library.child import ChildUpdate
from ominix.library.downloads import MAX_RUNNING, MAX_WAITING, REASONS, Downloads
from ominix.library.records import Records, write_whole

SCHEMAS = Path(__file__).parents[2] / "schemas"


class Child:
    """A child that does what the test says."""

    def __init__(self, home, model_id, repo_id) -> None:
        self.id = model_id

    def follow(self, on_update, on_end) -> None:
        self.on_update, self.on_end = on_update, on_end

    def end(self) -> None:
        self.on_end(-9)


class Children:
    def __init__(self) -> None:
        self.all: list[Child] = []

    def __call__(self, *arguments) -> Child:
        self.all.append(Child(*arguments))
        return self.all[-1]


@pytest.fixture
def children():
    return Children()


@pytest.fixture
def downloads(tmp_path, children):
    return Downloads(tmp_path, spawn=children)


def recorded(tmp_path) -> set[str]:
    return set(json.loads((tmp_path / "config.json").read_text())["models"])


def test_a_refused_download_leaves_no_record(tmp_path, downloads):
    """1,500 downloads asked for left 1,461 records, and each chat after them took 46 ms more."""
    outcomes = []
    for n in range(100):
        try:
            outcomes.append(downloads.start(f"a/m{n}"))
        except Busy:
            outcomes.append("")
    begun = {name for name in outcomes if name}
    assert len(begun) == MAX_RUNNING + MAX_WAITING
    assert recorded(tmp_path) == begun


def test_a_download_that_is_here_leaves_its_record_as_it_is(tmp_path, downloads):
    (tmp_path / "models" / "m").mkdir(parents=True)
    Records(tmp_path).put("m", repo_id="a/m", state="ready")
    with pytest.raises(Conflict):
        downloads.start("a/m")
    assert Records(tmp_path).all()["m"].state == "ready"


def test_one_that_cannot_be_recorded_is_not_begun(tmp_path, children):
    """A full disk: the client is told, nothing runs, and the next try is like the first."""
    full = True

    def write(path, data) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, data)

    downloads = Downloads(tmp_path, records=Records(tmp_path, write=write), spawn=children)
    with pytest.raises((OSError, OminixError)):
        downloads.start("a/m")
    assert (downloads.all(), children.all) == ([], [])
    full = False
    downloads.start("a/m")
    assert [child.id for child in children.all] == ["m"]


def test_a_failure_that_cannot_be_recorded_makes_room_for_the_next(tmp_path, downloads, children):
    for n in range(MAX_RUNNING + 1):
        downloads.start(f"a/m{n}")
    (tmp_path / "config.json").unlink()
    (tmp_path / ".config.json.new").mkdir()  # where the next version would be written
    children.all[0].on_update(ChildUpdate("downloading", 5, 10))
    children.all[0].on_end(1)
    assert [child.id for child in children.all] == [f"m{n}" for n in range(MAX_RUNNING + 1)]


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "a/b", ".hidden", "", "a\0b"])
def test_a_record_of_what_can_be_no_folder_is_passed_over(tmp_path, downloads, name):
    """A name of 300 letters in OMINIX_HOME/config.json made the list of models a 500."""
    entry = {"repo_id": "a/b", "state": "failed", "message": "m"}
    (tmp_path / "config.json").write_text(json.dumps({"models": {name: entry, "good": entry}}))
    assert [download.id for download in downloads.all()] == ["good"]


@pytest.mark.parametrize("fields", [{"reason": "odd"}, {}, {"reason": "gated"}])
def test_a_failure_that_says_no_known_reason_is_told_all_the_same(tmp_path, downloads, fields):
    """People edit the file; an answer with such a reason broke its schema."""
    entry = {"repo_id": "a/b", "state": "failed", **fields}
    (tmp_path / "config.json").write_text(json.dumps({"models": {"m": entry}}))
    (download,) = downloads.all()
    assert download.reason == ("gated" if fields.get("reason") == "gated" else "internal")
    assert schemas.mismatch("download", download_object(download)) is None


def test_the_schema_s_reasons_are_known():
    error = json.loads((SCHEMAS / "download.json").read_text())["properties"]["error"]
    listed = re.search(r'"reason": \{"enum": (\[.*?\])', json.dumps(error))
    assert listed
    assert set(json.loads(listed[1])) <= set(REASONS)
