from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from ominix.__main__ import COMMANDS, main, module, parser_for
from ominix.cli.client import Address
from ominix.config import MIB, Config

NEEDED = {
    "info": 1,
    "search": 1,
    "stop": 1,
    "pull": 1,
    "rm": 1,
    "transcribe": 1,
    "import-gguf": 1,
    "import-ct2": 1,
    "quantize": 2,
}  # positionals


def values(argv: list[str], environ: dict[str, str] | None = None) -> dict:
    return vars(parser_for(argv, environ or {}).parse_args(argv))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_s_flags_are_what_it_runs_with(command):
    given = values([command, *["x"] * NEEDED.get(command, 0)])
    del given["command"]

    bound = inspect.signature(module(command).run).bind(**given)

    if "address" in bound.arguments:
        Address(**bound.arguments["address"])
    if "settings" in bound.arguments:
        settings = {"aliases": {}, **bound.arguments["settings"]}
        assert Config(**settings) == Config(home=given["home"])
        assert settings.keys() == Config.__dataclass_fields__.keys()


def test_the_help_and_the_server_import_nothing_of_other_commands():
    code = (
        "import sys, ominix.__main__ as m; sys.stdout = sys.stderr\n"
        "for argv in (['--help'], ['serve', '--help']):\n"
        "    try: m.main(argv)\n"
        "    except SystemExit: pass\n"
        "    else: raise AssertionError\n"
        "    if 'serve' not in argv: assert not [c for c in m.COMMANDS if 'ominix.cli.' + c in sys.modules]\n"
        "assert not {'httpx2', 'tqdm', 'huggingface_hub', 'mlx'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stderr for name in COMMANDS)


def test_no_command_is_a_question_for_help(capsys):
    assert main([], {}) == 2
    assert "import-gguf" in capsys.readouterr().out


def test_flags_beat_variables_and_variables_beat_defaults():
    environ = {"OMINIX_PORT": "9000", "OMINIX_HOST": "::1"}
    given = values(["serve", "--port", "9001"], environ)
    assert (given["port"], given["host"], given["jobs_per_worker"]) == (9001, "::1", 16)


def test_lists_come_from_repeated_flags_or_commas():
    assert values(["serve", "--api-key", "a", "--api-key", "b"])["api_keys"] == ("a", "b")
    assert values(["serve"], {"OMINIX_API_KEY": "a, b"})["api_keys"] == ("a", "b")
    assert values(["serve", "--alias", "gpt-4=llama"])["aliases"] == (("gpt-4", "llama"),)


def test_sizes_are_converted():
    given = values(["serve", "--max-upload-mib", "1.5", "--memory-gib", "2"])
    assert (given["max_upload_bytes"], given["memory_bytes"]) == (1.5 * MIB, 2048 * MIB)


def test_the_home_is_a_setting_of_its_own():
    assert values(["serve"], {"OMINIX_HOME": "/x"})["home"] == Path("/x")
    assert values(["--home", "/y", "serve"])["home"] == Path("/y")
    assert values(["serve"])["home"] == Path.home() / ".ominix"
