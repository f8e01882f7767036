from __future__ import annotations

from ominix.__main__ import main
from ominix.library.records import Records


def test_a_row_is_short_about_a_download_that_failed(tmp_path, capsys):
    message = (
        "The hub at https://hub.example cannot be reached (ConnectError). Behind a proxy set HTTPS_PROXY; ..."
    )
    Records(tmp_path).put("b", repo_id="a/b", state="failed", reason="offline", message=message)
    (tmp_path / "models" / ".downloads" / "b").mkdir(parents=True)
    assert main(["--home", str(tmp_path), "list"], {}) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("b "))
    assert row.endswith("failed: The hub at https://hub.example cannot be reached (ConnectError)")


def test_what_is_built_in_is_said_to_be(tmp_path, capsys):
    assert main(["--home", str(tmp_path), "list"], {}) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].split()[-2:] == ["built", "in"]
    assert "No models" not in text and "'ominix pull " in text
    assert max(map(len, text.splitlines())) <= 80
