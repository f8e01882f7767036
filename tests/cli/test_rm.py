from __future__ import annotations

from ominix.__main__ import main
from ominix.library.catalog import EMBEDDED


def test_what_is_built_in_stays_and_that_is_said(tmp_path, capsys):
    for folder in EMBEDDED:
        assert main(["--home", str(tmp_path), "rm", folder.name], {}) == 1
        assert capsys.readouterr().err == f"ominix: {folder.name} is built in: it stays.\n"
        assert folder.is_dir()


def test_a_model_of_that_name_that_was_put_there_may_go(tmp_path, capsys):
    mine = tmp_path / "models" / "tiny-asr"
    mine.mkdir(parents=True)
    (mine / "config.json").write_text("{}")
    assert main(["--home", str(tmp_path), "rm", "tiny-asr"], {}) == 0
    assert not mine.exists()


def test_what_is_not_there_is_said(tmp_path, capsys):
    assert main(["--home", str(tmp_path), "rm", "nope"], {}) == 1
    assert "'nope' does not exist here" in capsys.readouterr().err
