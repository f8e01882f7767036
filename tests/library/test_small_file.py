from __future__ import annotations

import os

import pytest

from ominix.library import small_file


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert small_file.read(tmp_path / "file", 5) == b"12345"


@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_what_would_not_end_is_refused(tmp_path, kind):
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, (1 << 20) + 1)
    with pytest.raises(ValueError, match="is larger than 1 MiB" if kind == "large" else "not a plain file"):
        small_file.read(path, 1 << 20)


def test_a_folder_and_nothing_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        small_file.read(tmp_path / "none", 5)
    with pytest.raises((IsADirectoryError, ValueError)):
        small_file.read(tmp_path, 5)
