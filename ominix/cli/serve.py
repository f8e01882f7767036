"""`ominix serve`: the server, its logs and its banner."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ominix import lifeline, logs
from ominix.cli import flags, key_files, port_owner, terminal
from ominix.config import MIB, Config
from ominix.errors import OminixError, ServerError, Unavailable
from ominix.families.table import recommended
from ominix.http import access, schemas
from ominix.library import removal
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.child import Child
from ominix.library.downloads import Downloads
from ominix.library.folders import Folders
from ominix.library.model import BUILT_IN, Model
from ominix.library.records import Records
from ominix.server import heap, hosts
from ominix.server.app import create_app
from ominix.server.endpoints import Endpoints
from ominix.server.gate import Gate, Origins
from ominix.server.listen import Server
from ominix.server.parser import Door
from ominix.workers import machine
from ominix.workers.pool import Pool, Residency

WORKER_SHARE = 0.9  # of the machine's memory: a worker that takes more ends itself, not the machine
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # and which of them is this machine's own
LOOPBACK = ("127.0.0.1", "localhost", "::1")
INSECURE = (
    "{host} is reachable from other machines: give an API key (--api-key, --api-key-file or "
    "OMINIX_API_KEY), "
    "or say --insecure if everyone who reaches it may use it."
)

EXAMPLES = """
  ominix serve                                  this machine alone, port 8080
  ominix serve --host 0.0.0.0 --api-key SECRET  other machines, too
  ominix serve --preload whisper-base --pin whisper-base
  OMINIX_PORT=9000 ominix serve                 each flag is a variable, too
"""


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """A flag for each field of Config, and `insecure`."""
    parser.description = (
        "Serve OpenAI's API at http://HOST:PORT/v1, with a page for people at /docs.\n"
        "Models load when they are first asked for. Ctrl-C stops."
    )
    f = flags.Flags(parser, environ, "where it listens and who may call")
    f.one("host", str, "address to listen on; 0.0.0.0: all of this machine's", default=Config.host)
    f.one("port", flags.port, "port to listen on, 0 takes a free one", default=Config.port)
    f.many("api-key", "api_keys", flags.key, "a key that clients must send")
    f.many("api-key-file", "api_key_files", Path, "a file of such keys, one a line")
    f.many("admin-key", "admin_keys", flags.key, "a key without which nobody downloads, deletes or loads")
    f.many("admin-key-file", "admin_key_files", Path, "a file of such keys, one a line")
    f.switch("insecure", "serve other machines without an API key")
    f.many("allowed-host", "allowed_hosts", str, "a Host name to answer to; * for any")
    f.many("allowed-origin", "allowed_origins", str, "a web origin that may call (CORS)")
    f.many(
        "audio-root", "audio_roots", flags.folder, "a folder whose files clients may name by path",
        metavar="FOLDER",
    )  # fmt: skip
    _add_model_flags(f.group("models"))
    _add_limit_flags(f.group("requests"))
    f = f.group("logs")
    f.switch("log-json", "log lines as JSON")
    f.switch("scripted", "add the model 'scripted', which obeys its prompt; for tests", hidden=True)
    f.switch("strict", "answer 500 when a response breaks its schema; for tests", hidden=True)
    parser.add_argument("--end-with-stdin", action="store_true", help=argparse.SUPPRESS)  # cli.client's


def _add_model_flags(f: flags.Flags) -> None:
    f.many("preload", "preload", str, "a model to load at the start", metavar="MODEL")
    f.many("pin", "pinned", str, "a model that is never unloaded", metavar="MODEL")
    f.one(
        "keep-alive", flags.seconds(0), "idle seconds after which a model is unloaded; default: it stays",
        dest="keep_alive_seconds", metavar="SECONDS",
    )  # fmt: skip
    f.one(
        "memory-gib", flags.gibibytes,
        "memory all models may take together; default 75 %% of the machine's, on a Mac what its GPU may hold",
        dest="memory_bytes",
    )  # fmt: skip
    f.aliases()
    f.one(
        "cpu", flags.choice("fast", "plain"), "how a CPU computes: plain is as on a GPU", default=Config.cpu,
        metavar="fast|plain",
    )  # fmt: skip


def _add_limit_flags(f: flags.Flags) -> None:
    f.switch(
        "raw-prompts", "control tokens such as <|im_end|> that clients write in chats are tokens, not text"
    )
    f.switch("ignore-unsupported", "answer without tools or JSON schemas where they are asked for, not 400")
    f.one(
        "max-upload-mib", flags.mebibytes, "largest request in MiB, at least 0.01",
        dest="max_upload_bytes", default=Config.max_upload_bytes / MIB,
    )  # fmt: skip
    f.one(
        "max-audio-hours", flags.between(0.01, 240, " (hours)"), "how much of a recording is heard, in hours",
        default=Config.max_audio_hours,
    )  # fmt: skip
    f.one(
        "max-chat-mib", flags.mebibytes, "largest chat request in MiB, at least 0.01",
        dest="max_chat_bytes", default=Config.max_chat_bytes / MIB,
    )  # fmt: skip
    f.one(
        "jobs-per-worker", flags.count(1, 256), "requests one model holds, running and waiting, 1 to 256",
        default=Config.jobs_per_worker, metavar="COUNT",
    )  # fmt: skip
    f.one(
        "send-timeout-seconds", flags.seconds(1), "how long an answer may wait for its reader, at least 1",
        default=Config.send_timeout_seconds,
    )  # fmt: skip
    f.one(
        "stall-seconds", flags.seconds(1), "silence after which a busy worker is killed, at least 1",
        default=Config.stall_seconds,
    )  # fmt: skip
    f.one(
        "drain-seconds", flags.seconds(0), "time for running jobs at the stop", default=Config.drain_seconds
    )


def run(
    *, insecure: bool, aliases: Sequence[tuple[str, str]], end_with_stdin: bool = False, **settings: Any
) -> int:
    """The exit status: 0 after an orderly stop, 1 if the server could not start.

    `settings`: the other fields of Config (Any: they are as different as its fields).
    """
    if end_with_stdin:
        lifeline.end_with_stdin()
    try:
        config = _with_keys(Config(aliases=dict(aliases), **settings))
        if config.host not in LOOPBACK and not config.api_keys and not insecure:
            raise ServerError(INSECURE.format(host=config.host))
    except ServerError as error:
        terminal.complain(error.message)
        return 1
    logs.to_stderr(as_json=config.log_json)
    heap.return_large_blocks()
    schemas.warm()
    catalog = Catalog(
        config.models_folder,
        config.aliases,
        records=Records(config.home),
        embedded=EMBEDDED,
        scripted=config.scripted,
    )
    removal.sweep(Folders(config.home), Records(config.home))
    pool = _pool(config, catalog)
    server = _server(config, pool, catalog)
    try:
        host, port = server.bind()
    except (OSError, Unavailable) as error:
        terminal.complain(_cannot_listen(config.host, config.port, error))
        return 1
    terminal.say(banner(addresses(host, port), catalog.models(), config.models_folder))
    if not _preloaded(config.preload, pool, catalog):
        return 1
    server.run()
    return 0


def _cannot_listen(host: str, port: int, error: OSError | Unavailable) -> str:
    if isinstance(error, Unavailable):
        return error.message
    said = f"cannot listen on {host}:{port}: {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        owner = port_owner.of(EVERY_ADDRESS.get(host, host), port)
        said += f"; {owner}; --port takes another" if owner else "; --port takes another"
    return said


def _with_keys(config: Config) -> Config:
    """With the keys of its files. Raises ServerError."""
    return replace(
        config,
        api_keys=config.api_keys + key_files.keys(config.api_key_files),
        admin_keys=config.admin_keys + key_files.keys(config.admin_key_files),
    )


# These two hand each part of Config to whom it is for.


def _pool(config: Config, catalog: Catalog) -> Pool:
    return Pool(
        jobs_per_worker=config.jobs_per_worker,
        stall_seconds=config.stall_seconds,
        limit_bytes=int(machine.memory_bytes() * WORKER_SHARE),
        cpu=config.cpu,
        log_json=config.log_json,
        max_audio_seconds=config.max_audio_hours * 3600,
        raw_prompts=config.raw_prompts,
        residency=Residency(
            memory_bytes=config.memory_bytes or machine.models_bytes(),
            keep_alive_seconds=config.keep_alive_seconds,
            pinned=frozenset(_id(name, catalog) for name in config.pinned),
        ),
    )


def _server(config: Config, pool: Pool, catalog: Catalog) -> Server:
    downloads = Downloads(config.home, spawn=partial(Child, log_json=config.log_json))
    origins = Origins(config.allowed_origins)
    app = create_app(
        pool,
        catalog,
        downloads,
        origins,
        strict=config.strict,
        max_upload_bytes=config.max_upload_bytes,
        max_chat_bytes=config.max_chat_bytes,
        audio_roots=config.audio_roots,
        ignore_unsupported=config.ignore_unsupported,
    )
    names = (config.host, *config.allowed_hosts)
    gate = Gate(config.api_keys, names, origins, config.admin_keys)
    return Server(
        access.logged(app),
        Door(gate, origins, Endpoints(app, config.max_upload_bytes, config.max_chat_bytes)),
        pool,
        downloads,
        address=(config.host, config.port),
        send_timeout_seconds=config.send_timeout_seconds,
        drain_seconds=config.drain_seconds,
    )


def _preloaded(names: Sequence[str], pool: Pool, catalog: Catalog) -> bool:
    """Begin to load these. False, and the reason on standard error, if one cannot be."""
    for name in names:
        try:
            pool.load(catalog.get(name).loadable)
        except OminixError as error:
            terminal.complain(f"--preload: {error.message}")
            pool.close()
            return False
    return True


def _id(name: str, catalog: Catalog) -> str:
    try:
        return catalog.get(name).id
    except OminixError:  # not here yet: then this is what it will be called
        return catalog.repository(name).rpartition("/")[2]


def addresses(host: str, port: int) -> list[str]:
    """Where the server is reached: from here first, then from other machines."""
    if host not in EVERY_ADDRESS:
        return [hosts.http_address(host, port)]
    others = [name for name in hosts.network_addresses() if ":" not in name or ":" in host]
    return [hosts.http_address(name, port) for name in (EVERY_ADDRESS[host], *others)]


def banner(reached_at: Sequence[str], models: Sequence[Model], models_folder: Path) -> str:
    address, *others = reached_at
    lines = [f"ominix serves {address}/v1 (docs: {address}/docs, Ctrl-C stops)"]
    if others:
        lines.append("From other machines: " + ", ".join(f"{other}/v1" for other in others))
    lines += [_line(model) for model in models]
    if not any(m.engine and m.origin != BUILT_IN for m in models):
        lines.append(
            "The built-in models are for trying things out. A real one for speech:\n"
            f"'ominix pull {recommended('transcribe')}'; 'ominix models' lists others.\n"
            f"Folders of mlx models may also be put into {models_folder}."
        )
    return "\n".join(lines)


def _line(model: Model) -> str:
    remark = "built in" if model.origin == BUILT_IN else model.note or ""
    if model.trouble:
        remark = f"cannot be served: {model.trouble}"
    return f"  {model.id}  {model.task}  {remark}".rstrip()
