"""Values that flags refuse, by the real parser."""

from __future__ import annotations

import pytest

from ominix.__main__ import COMMANDS, parser_for

REFUSED = [
    ("--port 70000", "port must be a number from 0 to 65535, not '70000'"),
    ("--port 80a", "port must be a number from 0 to 65535, not '80a'"),
    ("--port -1", "port must be a number from 0 to 65535, not '-1'"),
    ("--port 8_0", "port must be a number from 0 to 65535, not '8_0'"),
    ("--jobs-per-worker many", "must be a whole number from 1 to 256, not 'many'"),
    ("--jobs-per-worker 1.5", "must be a whole number from 1 to 256, not '1.5'"),
    ("--alias nonsense", "'nonsense' is not NAME=MODEL"),
    ("--audio-root /nowhere/at/all", "/nowhere/at/all is not a folder"),
    ("--jobs-per-worker 0", "must be a whole number from 1 to 256, not '0'"),
    ("--jobs-per-worker 257", "must be a whole number from 1 to 256, not '257'"),
    ("--cpu slow", "must be one of fast, plain, not 'slow'"),
    ("--stall-seconds 0", "must be a number from 1 to 1000000 (seconds), not '0'"),
    ("--stall-seconds soon", "must be a number from 1 to 1000000 (seconds), not 'soon'"),
    ("--stall-seconds 0.5", "must be a number from 1"),
    ("--stall-seconds inf", "must be a number from 1"),
    ("--drain-seconds -1", "must be a number from 0"),
    ("--keep-alive nan", "must be a number from 0"),
    ("--max-upload-mib 0", "must be a number from 0.01 to 1048576 (MiB), not '0'"),
    ("--max-upload-mib nan", "must be a number from"),
    ("--max-audio-hours 0", "must be a number from 0.01 to 240 (hours), not '0'"),
    ("--memory-gib 0", "must be a number from 0.1 to 1048576 (GiB), not '0'"),
    ("--memory-gib 0.001", "must be a number from 0.1"),
    ("--api-key=", "an API key is visible ASCII"),
    ("--api-key schlüssel", "an API key is visible ASCII"),
    ("--send-timeout-seconds 0", "must be a number from 1"),
]


@pytest.mark.parametrize(("flag", "reason"), REFUSED)
def test_what_can_only_harm_is_refused_with_the_bounds(flag, reason, capsys):
    argv = ["serve", *flag.split()]
    with pytest.raises(SystemExit):
        parser_for(argv, {}).parse_args(argv)
    assert f"argument {flag.split()[0].rstrip('=')}: {reason}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("OMINIX_PORT", "abc", "port must be a number from 0 to 65535, not 'abc'"),
        ("OMINIX_STALL_SECONDS", "0", "must be a number from 1"),
        ("OMINIX_CPU", "slow", "must be one of fast, plain, not 'slow'"),
        ("OMINIX_ALIAS", "a=b, c", "'c' is not NAME=MODEL"),
        ("OMINIX_API_KEY", "schlüssel", "an API key is visible ASCII"),
        ("OMINIX_LOG_JSON", "perhaps", "must be 1 or 0, not 'perhaps'"),
    ],
)
def test_a_variable_is_held_to_the_same_bounds_and_named(variable, text, reason, capsys):
    with pytest.raises(SystemExit):
        parser_for(["serve"], {variable: text}).parse_args(["serve"])
    assert capsys.readouterr().err.startswith(f"ominix serve: {variable}: {reason}")


def test_a_variable_that_a_flag_beats_may_be_anything():
    argv = ["serve", "--port", "80"]
    assert parser_for(argv, {"OMINIX_PORT": "abc"}).parse_args(argv).port == 80
    assert parser_for(["serve"], {"OMINIX_PORT": ""}).parse_args(["serve"]).port == 8080


def test_an_error_is_two_lines_without_names_of_ours(capsys):
    for argv in (["serve", "--port", "80a"], ["sreve"], ["transcribe"], ["serve", "--nonsense"], ["pull"]):
        with pytest.raises(SystemExit) as raised:
            parser_for(argv, {}).parse_args(argv)
        said = capsys.readouterr().err
        assert (raised.value.code, said.count("\n")) == (2, 2)
        assert said.splitlines()[1].startswith("Try 'ominix") and " _" not in said


@pytest.mark.parametrize("flag", ["--drain-seconds", "--keep-alive"])
def test_no_time_at_all_is_a_time(flag):
    argv = ["serve", flag, "0"]
    parser_for(argv, {}).parse_args(argv)


def test_the_help_says_defaults_and_bounds(capsys):
    with pytest.raises(SystemExit):
        parser_for(["serve"], {}).parse_args(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--scripted" not in text and "--strict" not in text
    assert "--memory-gib GIB" in text and "--pin MODEL" in text and "--jobs-per-worker COUNT" in text
    assert "killed, at least 1; default 60 (OMINIX_STALL_SECONDS)" in text
    assert "in MiB, at least 0.01; default 16384 (OMINIX_MAX_UPLOAD_MIB)" in text


@pytest.mark.parametrize("flag", ["--temperature nan", "--temperature 3", "--max-tokens 0"])
def test_chat_refuses_what_no_server_takes(flag, capsys):
    argv = ["chat", *flag.split()]
    with pytest.raises(SystemExit):
        parser_for(argv, {}).parse_args(argv)
    assert "must be a" in capsys.readouterr().err


def test_every_command_has_examples_and_says_what_its_flags_take(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            parser_for([name], {}).parse_args([name, "--help"])
        text = capsys.readouterr().out
        assert f"examples:\n  ominix {name}" in text or name == "transcribe"
        assert text.startswith(f"usage: ominix {name} [FLAGS]")
        assert max(map(len, text.splitlines())) <= 80
    with pytest.raises(SystemExit):
        parser_for(["--help"], {}).parse_args(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "examples:\n" in text
