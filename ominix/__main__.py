"""The command line: argv and environment become the keyword arguments of one command's `run`.

`ominix.cli` has a module for each command with two functions: `add_flags(parser, environ)` and `run(...)`,
whose parameters are the flags. Nobody else reads argv or the environment.
"""

from __future__ import annotations

from ominix import import_path

if __name__ == "__main__":
    import_path.drop_current_folder()

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

from ominix.cli import terminal, usage

# In the order of the help: what the modules of ominix.cli do.
GROUPS = {
    "speech and chat": {
        "transcribe": "recordings to text",
        "chat": "a conversation in the terminal",
    },
    "the server": {
        "serve": "run the server",
        "ps": "the models that the running server has loaded",
        "stop": "unload a model; its memory is free then",
    },
    "models": {
        "models": "models that have a short name, to pull",
        "search": "find more of them on the hub",
        "pull": "download a model, or go on with a download",
        "list": "list the models here",
        "info": "show what is known of a model",
        "rm": "delete a model",
        "import-gguf": "a GGUF file becomes a model",
        "import-ct2": "a Whisper model of faster-whisper becomes one of ours",
        "quantize": "a smaller copy of a chat model",
    },
    "this machine": {
        "doctor": "what this machine computes on, and what is missing",
    },
}
COMMANDS = {name: text for commands in GROUPS.values() for name, text in commands.items()}
DESCRIPTION = "Speech recognition and chat on this machine, behind OpenAI's API."
EXAMPLES = """
  ominix pull whisper-base             once
  ominix transcribe interview.m4a      needs no server
  ominix serve                         http://localhost:8080/v1 for any OpenAI client
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    return terminal.exit_status(lambda: _run(arguments, environ))


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = parser_for(arguments, environ)
    values = vars(parser.parse_args(arguments))
    command = values.pop("command")
    if command is None:
        parser.print_help()
        return 2
    return int(module(command).run(**values))


def parser_for(arguments: Sequence[str], environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser of these arguments: only commands that they name have their flags.

    Another command's module is not imported, so `ominix serve` starts in a fraction of a second.
    """
    parser = usage.Parser(
        prog="ominix",
        usage="ominix [--home FOLDER] COMMAND ...",
        description=f"{DESCRIPTION}\n\n{usage.overview(GROUPS)}",
        epilog=f"{usage.examples(EXAMPLES)}\n\n'ominix COMMAND --help' shows a command's flags.",
    )
    parser.add_argument("--version", action="version", version=metadata.version("ominix"))
    parser.add_argument(
        "--home",
        type=_home,
        metavar="FOLDER",
        default=environ.get("OMINIX_HOME", "~/.ominix"),
        help="where models and settings live (OMINIX_HOME; default ~/.ominix)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS, prog="ominix")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, description=text)
        if name in arguments:
            module(name).add_flags(command, environ)
            command.epilog = usage.examples(module(name).EXAMPLES)
            command.shorten_usage()
    return parser


def module(command: str) -> ModuleType:
    return importlib.import_module(f"ominix.cli.{command.replace('-', '_')}")


def _home(text: str) -> Path:
    return Path(text).expanduser().absolute()


if __name__ == "__main__":
    sys.exit(main())
