from __future__ import annotations

import pytest

from ominix.cli import key_files
from ominix.errors import ServerError


def test_one_a_line_without_comments(tmp_path, capsys):
    (tmp_path / "a").write_bytes(b"# ours\r\n\r\none\r\n two words \n")
    (tmp_path / "b").write_text("three")
    for name in "ab":
        (tmp_path / name).chmod(0o600)
    assert key_files.keys([tmp_path / "a", tmp_path / "b"]) == ("one", "two words", "three")
    assert key_files.keys([]) == ()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_told_of(tmp_path, capsys, mode):
    (tmp_path / "a").write_text("one")
    (tmp_path / "a").chmod(mode)
    assert key_files.keys([tmp_path / "a"]) == ("one",)
    assert f"chmod 600 {tmp_path / 'a'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "holds no key"), ("# none\n", "holds no key"), ("one\nschlüssel", "line 2: an API key is visible")],
)
def test_a_file_without_a_usable_key_is_refused(tmp_path, content, said):
    (tmp_path / "a").write_text(content)
    with pytest.raises(ServerError, match=said) as caught:
        key_files.keys([tmp_path / "a"])
    assert "schl" not in str(caught.value)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(ServerError, match="cannot be read: No such file"):
        key_files.keys([tmp_path / "none"])
