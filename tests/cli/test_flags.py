"""Values that flags refuse, by the real parser."""

from __future__ import annotations

import pytest

from ominix.__main__ import parser_for

REFUSED = [
    ("--port 70000", "70000 is not between 0 and 65535"),
    ("--port x", "invalid port value: 'x'"),
    ("--jobs-per-worker many", "invalid whole_number value: 'many'"),
    ("--alias nonsense", "'nonsense' is not NAME=MODEL"),
    ("--audio-root /nowhere/at/all", "/nowhere/at/all is not a folder"),
    ("--jobs-per-worker 0", "0 is not between 1 and 256"),
    ("--jobs-per-worker 257", "257 is not between 1 and 256"),
    ("--cpu slow", "'slow' is not one of fast, plain"),
    ("--stall-seconds 0", "0 is not between 1 and 1000000 seconds"),
    ("--stall-seconds 0.5", "0.5 is not between 1"),
    ("--stall-seconds inf", "inf is not between 1"),
    ("--drain-seconds -1", "-1 is not between 0"),
    ("--keep-alive nan", "nan is not between 0"),
    ("--max-upload-mib 0", "0 is not between 0.01 and 1048576 MiB"),
    ("--max-upload-mib nan", "nan is not between"),
    ("--memory-gib 0", "0 is not between 0.1 and 1048576 GiB"),
    ("--memory-gib 0.001", "0.001 is not between 0.1"),
    ("--api-key=", "an API key is visible ASCII"),
    ("--api-key schlüssel", "an API key is visible ASCII"),
    ("--send-timeout-seconds 0", "0 is not between 1"),
]


@pytest.mark.parametrize(("flag", "reason"), REFUSED)
def test_what_can_only_harm_is_refused_with_the_bounds(flag, reason, capsys):
    argv = ["serve", *flag.split()]
    with pytest.raises(SystemExit):
        parser_for(argv, {}).parse_args(argv)
    assert f"argument {flag.split()[0].rstrip('=')}: {reason}" in capsys.readouterr().err


def test_a_variable_is_held_to_the_same_bounds(capsys):
    with pytest.raises(SystemExit):
        parser_for(["serve"], {"OMINIX_STALL_SECONDS": "0"}).parse_args(["serve"])
    assert "argument --stall-seconds: 0 is not between" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser_for(["serve"], {"OMINIX_ALIAS": "a=b, c"}).parse_args(["serve"])
    assert "OMINIX_ALIAS: 'c' is not NAME=MODEL" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--drain-seconds", "--keep-alive"])
def test_no_time_at_all_is_a_time(flag):
    argv = ["serve", flag, "0"]
    parser_for(argv, {}).parse_args(argv)


def test_the_help_says_defaults_and_bounds(capsys):
    with pytest.raises(SystemExit):
        parser_for(["serve"], {}).parse_args(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "killed, at least 1; default 60 (OMINIX_STALL_SECONDS)" in text
    assert "in MiB, at least 0.01; default 25 (OMINIX_MAX_UPLOAD_MIB)" in text


@pytest.mark.parametrize("flag", ["--temperature nan", "--temperature 3", "--max-tokens 0"])
def test_chat_refuses_what_no_server_takes(flag, capsys):
    argv = ["chat", *flag.split()]
    with pytest.raises(SystemExit):
        parser_for(argv, {}).parse_args(argv)
    assert "is not between" in capsys.readouterr().err
