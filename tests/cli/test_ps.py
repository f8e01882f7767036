from __future__ import annotations

import pytest

from ominix.__main__ import main
from ominix.cli import ps


@pytest.mark.parametrize("command", [["ps"], ["stop", "x"]])
def test_without_a_server_that_is_said(tmp_path, capsys, command):
    assert main(["--home", str(tmp_path), *command, "--port", "9"], {}) == 1
    said = capsys.readouterr().err
    assert said.startswith("ominix: no ominix server answers at http://127.0.0.1:9: ")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h")]
)
def test_times_are_as_people_say_them(seconds, shown):
    assert ps._duration(seconds) == shown
