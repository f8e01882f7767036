"""The command line: argv and environment become a Config and options; nobody else reads either."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ominix.config import MIB, Config

# Name, what it is told, what it does.
MODEL_COMMANDS = (
    ("pull", "REPOSITORY_OR_ALIAS", "download a model, or go on with a download"),
    ("list", None, "list the models here"),
    ("info", "MODEL", "show what is known of a model"),
    ("rm", "MODEL", "delete a model"),
)


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    parser = _parser(environ)
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 2
    config = Config(home=Path(options.home).expanduser().absolute(), **_settings(options))
    # Each command is imported only when it is run: `ominix serve` starts in a fraction of a second.
    command = importlib.import_module(f"ominix.cli.{options.command.replace('-', '_')}")
    return int(command.run(config, options))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    given = vars(options)
    fields = Config.__dataclass_fields__.keys() - {"home"}
    settings = {key: given[key] for key in fields if given.get(key) is not None}
    if given.get("max_upload_mib") is not None:
        settings["max_upload_bytes"] = int(given["max_upload_mib"] * MIB)
    if given.get("memory_gib") is not None:
        settings["memory_bytes"] = int(given["memory_gib"] * 1024 * MIB)
    if given.get("keep_alive") is not None:
        settings["keep_alive_seconds"] = given["keep_alive"]
    if given.get("alias"):
        settings["aliases"] = dict(given["alias"])
    return settings


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ominix",
        description="Speech recognition and chat on this machine, behind OpenAI's API.",
    )
    parser.add_argument("--version", action="version", version=metadata.version("ominix"))
    parser.add_argument(
        "--home",
        default=environ.get("OMINIX_HOME", "~/.ominix"),
        help="where models and settings live (OMINIX_HOME; default ~/.ominix)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="run the server"), environ)
    for name, argument, text in MODEL_COMMANDS:
        command = commands.add_parser(name, help=text, description=text)
        if argument:
            command.add_argument("model", metavar=argument)
        _add_alias(_Flags(command, environ))
    _add_transcribe(commands.add_parser("transcribe", help="recordings to text"), environ)
    _add_chat(commands.add_parser("chat", help="a conversation in the terminal"), environ)
    _add_import_gguf(commands.add_parser("import-gguf", help="a GGUF file becomes a model"))
    _add_quantize(commands.add_parser("quantize", help="a smaller copy of a chat model"))
    _add_connection(commands.add_parser("doctor", help="what this machine computes on"), environ)
    return parser


class _Flags:
    """Adds flags whose defaults come from OMINIX_* variables; a variable's text is parsed like the flag's."""

    def __init__(self, parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
        self._parser = parser
        self._environ = environ

    def one(self, name: str, kind: Callable[[str], Any], text: str) -> None:
        variable = _variable(name)
        self._parser.add_argument(
            f"--{name}", type=kind, default=self._environ.get(variable), help=f"{text} ({variable})"
        )

    def many(self, name: str, dest: str, kind: Callable[[str], Any], text: str) -> None:
        """May be repeated; the variable separates with commas."""
        variable = _variable(name)
        given = [part.strip() for part in self._environ.get(variable, "").split(",") if part.strip()]
        try:
            default = [kind(part) for part in given]
        except (ValueError, argparse.ArgumentTypeError) as error:
            self._parser.error(f"{variable}: {error}")
        self._parser.add_argument(
            f"--{name}", dest=dest, action=_Extend, type=kind, default=tuple(default),
            metavar=name.upper().replace("-", "_"), help=f"{text}; may be repeated ({variable})",
        )  # fmt: skip

    def switch(self, name: str, text: str) -> None:
        variable = _variable(name)
        on = self._environ.get(variable, "").lower() in ("1", "true", "yes", "on")
        self._parser.add_argument(f"--{name}", action="store_true", default=on, help=f"{text} ({variable}=1)")


class _Extend(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), values))


def _variable(flag: str) -> str:
    return "OMINIX_" + flag.upper().replace("-", "_")


def _add_serve(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    flags = _Flags(parser, environ)
    flags.one("host", str, "address to listen on, default 127.0.0.1")
    flags.one("port", _port, "port to listen on, default 8080; 0 takes a free one")
    flags.many("preload", "preload", str, "a model to load at the start")
    flags.one("memory-gib", _positive, "memory all models may take together; default 75 %% of the machine's")
    flags.one("keep-alive", _seconds, "idle seconds after which a model is unloaded; default: it stays")
    flags.many("pin", "pinned", str, "a model that is never unloaded")
    flags.one("jobs-per-worker", _count, "requests one model holds, running and waiting; default 16")
    flags.one("stall-seconds", _seconds, "silence after which a busy worker is killed; default 60")
    flags.one("drain-seconds", _seconds, "how long running jobs may go on at the stop; default 30")
    flags.one("max-upload-mib", _positive, "largest request in MiB, default 25")
    flags.many("api-key", "api_keys", str, "a key that clients must send")
    flags.many("allowed-host", "allowed_hosts", str, "a Host name to answer to; * for any")
    flags.many("allowed-origin", "allowed_origins", str, "a web origin that may call (CORS)")
    _add_alias(flags)
    flags.many("audio-root", "audio_roots", _folder, "a folder whose files clients may name by path")
    flags.switch("insecure", "serve other machines without an API key")
    flags.switch("scripted", "add the model 'scripted', which obeys its prompt; for tests")
    flags.switch("strict", "answer 500 when a response breaks its schema; for tests")
    flags.switch("log-json", "log lines as JSON")


def _add_alias(flags: _Flags) -> None:
    flags.many("alias", "alias", _alias, "NAME=MODEL: another name for a model or a repository")


def _add_connection(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Where the running server is."""
    flags = _Flags(parser, environ)
    flags.one("host", str, "the server's address, default 127.0.0.1")
    flags.one("port", _port, "the server's port, default 8080")
    flags.many("api-key", "api_keys", str, "a key for the server")


def _add_transcribe(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("files", nargs="+", type=Path, help="audio or video files, or folders of them")
    parser.add_argument(
        "-f", "--format", choices=("txt", "json", "verbose", "srt", "vtt", "tsv"), default="txt",
        help="verbose: JSON with segments; srt, vtt: subtitles; tsv: times in milliseconds (default: txt)",
    )  # fmt: skip
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--beside", action="store_true", help="write each text beside its recording")
    where.add_argument(
        "-o", "--output-dir", "--output_dir", "--output", dest="output", type=_output, metavar="FOLDER",
        help="write files into this folder; - (the default) to the terminal",
    )  # fmt: skip
    parser.add_argument(
        "--words", action="store_true", help="the times of words too, which needs a forced aligner"
    )
    parser.add_argument("--model", help="a speech model; default: the server's default")
    parser.add_argument("--language", help="the language spoken, such as English or zh; default: heard")
    parser.add_argument("--prompt", help="names and words that are likely to occur")
    parser.add_argument("--url", help="another server, such as http://10.0.0.5:8080")
    _add_connection(parser, environ)


def _add_chat(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    parser.add_argument("model", nargs="?", help="a chat model; default: the first there is")
    parser.add_argument("--system", help="how the model is to behave")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--url", help="another server, such as http://10.0.0.5:8080")
    _add_connection(parser, environ)


def _add_import_gguf(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a GGUF file of the llama family")
    parser.add_argument("--name", help="the model's name; default: the file's")


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a model's name or folder")
    parser.add_argument("target", help="the new model's name or folder")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=8)


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 256")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds")
    return value


def _folder(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def _output(text: str) -> Path | None:
    """A folder that may be made yet; None: the terminal."""
    path = Path(text).expanduser().resolve()
    if text != "-" and path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return None if text == "-" else path


def _alias(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if not (name and equals and model):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MODEL")
    return name, model


if __name__ == "__main__":
    sys.exit(main())
