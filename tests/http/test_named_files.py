"""Files that requests name: real files, links and pipes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from ominix.errors import Forbidden, InvalidRequest
from ominix.http import named_files

NOBODY = 65534


@pytest.fixture
def root(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    return tmp_path


def test_a_file_below_a_root_is_opened_once(root):
    descriptor = named_files.open_below([root], str(root / "a.wav"))
    (root / "a.wav").unlink()
    assert os.read(descriptor, 99) == b"sound"
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("name", ["none", "", "x" * 10_000, "\0", "folder", "pipe"])
def test_what_is_no_file_is_refused_at_once(root, name):
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(InvalidRequest) as caught:
        named_files.open_below([root], str(root / name))
    assert (caught.value.param, caught.value.code) == ("file_path", "file_path_not_allowed")


def test_nothing_is_opened_without_a_root():
    with pytest.raises(Forbidden, match="--audio-root"):
        named_files.open_below([], "/etc/hostname")


@pytest.mark.parametrize("swapped", ["pipe", "other file", "link"])
def test_a_file_that_was_swapped_after_the_check_is_refused(root, swapped):
    """A pipe would hold the thread for ever; a link would lead out of the root."""
    expected = (root / "a.wav").stat()
    (root / "other.wav").write_bytes(b"secret")
    (root / "a.wav").rename(root / "checked.wav")
    if swapped == "pipe":
        os.mkfifo(root / "a.wav")
    elif swapped == "link":
        (root / "a.wav").symlink_to(root / "other.wav")
    else:
        (root / "other.wav").rename(root / "a.wav")
    with pytest.raises((InvalidRequest, OSError)):
        named_files._opened(root / "a.wav", expected)


def test_a_file_that_may_not_be_read_is_a_refusal_with_the_reason():
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    (root / "a.wav").write_bytes(b"sound")
    (root / "a.wav").chmod(0)
    if os.geteuid() == 0:  # who may read anything
        os.seteuid(NOBODY)
    try:
        with pytest.raises(InvalidRequest, match="cannot be read: Permission denied"):
            named_files.open_below([root.resolve()], str(root / "a.wav"))
    finally:
        os.seteuid(os.getuid())
        shutil.rmtree(root)
