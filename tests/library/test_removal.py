from __future__ import annotations

import time

import pytest

from ominix.library import removal
from ominix.library.downloads import Downloads
from ominix.library.folders import Folders
from ominix.library.records import DownloadRecord, Records

NOW = int(time.time())
OLD = NOW - removal.KEPT_SECONDS - 60


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path)


def failed(changed_at: int | None = NOW) -> DownloadRecord:
    return DownloadRecord("a/b", "failed", changed_at=changed_at)


def test_a_failure_is_told_of_for_a_day(folders):
    records = {"new": failed(), "old": failed(OLD), "timeless": failed(None)}
    removal.prune(records, folders)
    assert set(records) == {"new"}


def test_what_is_on_the_disk_or_runs_or_was_ready_keeps_its_record(folders):
    folders.partial("partial").mkdir(parents=True)
    (folders.partial("partial") / "config.json").write_text("{}")
    folders.final("final").mkdir(parents=True)
    records = {name: failed(OLD) for name in ("partial", "final", "running", "gone")}
    records["ready"] = DownloadRecord("a/b", "ready")  # its disk may be away
    removal.prune(records, folders, running={"running"})
    assert set(records) == {"partial", "final", "running", "ready"}


def test_a_download_that_failed_at_once_is_forgotten_with_its_empty_folder(tmp_path, folders):
    """Mistyped names stayed in the list for ever: the folder that was made for them counted as theirs."""
    records = Records(tmp_path)
    for name, changed_at in {"such": OLD, "fresh": NOW}.items():
        folders.partial(name).mkdir(parents=True)
        with records.changing() as known:
            known[name] = failed(changed_at)
    assert [download.id for download in Downloads(tmp_path).all()] == ["fresh"]
    removal.sweep(folders, records)
    assert set(records.all()) == {"fresh"}
    assert not folders.partial("such").exists()
    assert folders.partial("fresh").exists()


def test_of_many_the_newest_stay(folders):
    records = {f"m{n}": failed(NOW - n) for n in range(removal.MAX_ENDED + 50)}
    removal.prune(records, folders)
    assert set(records) == {f"m{n}" for n in range(removal.MAX_ENDED)}


def test_a_start_sweeps_records_that_an_older_version_has_left(tmp_path, folders):
    """1,461 refused downloads each had a record, and every chat read them all."""
    records = Records(tmp_path)
    with records.changing() as known:
        known.update({f"m{n}": DownloadRecord("a/b", "downloading") for n in range(1461)})
    removal.sweep(folders, records)
    assert records.all() == {}


def test_a_home_that_may_not_be_written_to_is_no_reason_not_to_start(tmp_path):
    (tmp_path / "home").write_text("a file")
    removal.sweep(Folders(tmp_path / "home"), Records(tmp_path / "home"))
