from __future__ import annotations

import time

import pytest

from ominix.library.folder_cache import SETTLED_SECONDS, FolderCache


class Reader:
    """Counts how often each folder is read; the value is how many files it has."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, folder):
        self.reads += 1
        files = sorted(folder.iterdir(), key=lambda file: file.stat().st_ctime_ns)
        return len(files), files[-1].name if files else ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights").write_text("12345")
    return tmp_path


@pytest.fixture
def reader():
    return Reader()


def later() -> float:
    """A clock by which all that was written is long settled."""
    return time.time() + 10 * SETTLED_SECONDS


def test_what_is_settled_is_read_once(folder, reader):
    cache = FolderCache(reader, clock=later)
    assert [cache.get(folder) for _ in range(3)] == [2, 2, 2]
    assert reader.reads == 1


def test_what_has_just_changed_is_read_anew(folder, reader):
    """A disk's clock is coarse: a second change within its tick would not be seen."""
    cache = FolderCache(reader)
    assert [cache.get(folder) for _ in range(3)] == [2, 2, 2]
    assert reader.reads == 3


@pytest.mark.parametrize("name", ["new", "config.json", "weights"])
def test_a_change_is_seen(folder, reader, name):
    """A file more, the config, and the file that changed last: one that is being copied grows in place."""
    cache = FolderCache(reader, clock=later)
    cache.get(folder)
    time.sleep(0.02)  # ticks of the disk's clock
    (folder / name).write_text("something else")
    cache.get(folder)
    assert reader.reads == 2


def test_folders_that_have_gone_are_forgotten(folder, reader):
    cache = FolderCache(reader, clock=later)
    (folder / "inner").mkdir()
    cache.get(folder / "inner")
    cache.keep([])
    cache.get(folder / "inner")
    assert reader.reads == 2


def test_what_is_not_there_is_asked_for_each_time(tmp_path):
    cache = FolderCache(lambda folder: (folder.exists(), ""), clock=later)
    assert cache.get(tmp_path / "new") is False
    (tmp_path / "new").mkdir()
    assert cache.get(tmp_path / "new") is True
