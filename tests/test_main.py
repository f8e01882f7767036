from __future__ import annotations

from pathlib import Path

import pytest

from ominix.__main__ import _parser, _settings
from ominix.config import MIB


def settings(argv: list[str], environ: dict[str, str] | None = None) -> dict:
    return _settings(_parser(environ or {}).parse_args(argv))


def test_flags_beat_variables_and_variables_beat_defaults():
    environ = {"OMINIX_PORT": "9000", "OMINIX_HOST": "::1"}
    given = settings(["serve", "--port", "9001"], environ)
    assert (given["port"], given["host"]) == (9001, "::1")


def test_lists_come_from_repeated_flags_or_commas():
    assert settings(["serve", "--api-key", "a", "--api-key", "b"])["api_keys"] == ("a", "b")
    assert settings(["serve"], {"OMINIX_API_KEY": "a, b"})["api_keys"] == ("a", "b")
    assert settings(["serve", "--alias", "gpt-4=llama"])["aliases"] == {"gpt-4": "llama"}


def test_sizes_are_converted():
    assert settings(["serve", "--max-upload-mib", "1.5"])["max_upload_bytes"] == 1.5 * MIB


@pytest.mark.parametrize(
    "argv",
    [
        ["serve", "--port", "70000"],
        ["serve", "--port", "x"],
        ["serve", "--jobs-per-worker", "0"],
        ["serve", "--alias", "nonsense"],
        ["serve", "--stall-seconds", "-1"],
        ["serve", "--max-upload-mib", "nan"],
    ],
)
def test_nonsense_is_refused(argv, capsys):
    with pytest.raises(SystemExit):
        settings(argv)
    assert "usage:" in capsys.readouterr().err


def test_the_home_is_a_setting_of_its_own():
    assert _parser({"OMINIX_HOME": "/x"}).parse_args(["serve"]).home == "/x"
    assert _parser({}).parse_args(["--home", "/y", "serve"]).home == "/y"
    assert Path(_parser({}).parse_args(["serve"]).home).expanduser() == Path.home() / ".ominix"
