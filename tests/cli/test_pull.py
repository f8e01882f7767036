"""What `ominix pull` takes for a name and says at the end. Downloads themselves: tests/e2e/test_store.py."""

from __future__ import annotations

import pytest
from hub import model_files

from ominix.__main__ import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "form", ["{hub}/owner/tiny-8bit", "owner/tiny:8bit", "owner/tiny-4bit:8bit", "short:8bit"]
)
def test_what_people_paste_is_pulled_and_the_next_step_is_said(hub, tmp_path, capsys, form):
    hub.add("owner/tiny-8bit", model_files())
    argv = ["--home", str(tmp_path), "pull", form.format(hub=hub.url)]
    assert main(argv, {"OMINIX_ALIAS": "short=owner/tiny-4bit"}) == 0
    said = capsys.readouterr()
    folder = tmp_path / "models" / "tiny-8bit"
    assert said.out == f"tiny-8bit is ready: {folder}\nNext: ominix chat tiny-8bit\n"
    assert (folder / "config.json").is_file()


def test_an_address_of_another_version_is_refused(hub, tmp_path, capsys):
    argv = ["--home", str(tmp_path), "pull", f"{hub.url}/owner/tiny/tree/v1"]
    assert main(argv, {}) == 1
    assert "only the newest (main) can be pulled" in capsys.readouterr().err
