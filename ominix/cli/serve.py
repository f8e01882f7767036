"""`ominix serve`: the server, its logs and its banner."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from typing import Any

from ominix.config import Config
from ominix.errors import OminixError
from ominix.http import schemas
from ominix.library.catalog import EMBEDDED, Catalog, Model
from ominix.library.downloads import Downloads
from ominix.library.folders import Folders
from ominix.library.records import Records
from ominix.server.listen import Server
from ominix.workers.pool import Pool, Residency

MODELS_SHARE = 0.75  # of the machine's memory: what all models may take together
WORKER_SHARE = 0.9  # of the machine's memory: a worker that takes more ends itself, not the machine
LOOPBACK = ("127.0.0.1", "localhost", "::1")
INSECURE = (
    "ominix: {host} is reachable from other machines: give an API key (--api-key or OMINIX_API_KEY), "
    "or say --insecure if everyone who reaches it may use it."
)


def run(config: Config, options: argparse.Namespace) -> int:
    """The exit status: 0 after an orderly stop, 1 if the server could not start."""
    if config.host not in LOOPBACK and not config.api_keys and not options.insecure:
        print(INSECURE.format(host=config.host), file=sys.stderr)
        return 1
    _log_to_stderr(as_json=config.log_json)
    schemas.warm()
    records = Records(config.home)
    catalog = Catalog(
        config.models_folder,
        config.aliases,
        records=records,
        embedded=EMBEDDED,
        scripted=config.scripted,
    )
    Folders(config.home).sweep()
    downloads = Downloads(config.home)
    pool = Pool(
        jobs_per_worker=config.jobs_per_worker,
        stall_seconds=config.stall_seconds,
        limit_bytes=int(_machine_bytes() * WORKER_SHARE),
        residency=Residency(
            memory_bytes=config.memory_bytes or int(_machine_bytes() * MODELS_SHARE),
            keep_alive_seconds=config.keep_alive_seconds,
            pinned=frozenset(_id(name, catalog) for name in config.pinned),
        ),
    )
    server = Server(config, pool, catalog, downloads)
    try:
        host, port = server.bind()
    except OSError as error:
        reason = error.strerror or error
        print(f"ominix: cannot listen on {config.host}:{config.port}: {reason}", file=sys.stderr)
        return 1
    print(banner(f"http://{f'[{host}]' if ':' in host else host}:{port}", catalog, config), flush=True)
    for name in config.preload:
        try:
            pool.load(catalog.get(name))
        except OminixError as error:
            print(f"ominix: --preload: {error.message}", file=sys.stderr)
            pool.close()
            return 1
    server.run()
    return 0


def _id(name: str, catalog: Catalog) -> str:
    try:
        return catalog.get(name).id
    except OminixError:  # not here yet: then this is what it will be called
        return catalog.repository(name).rpartition("/")[2]


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def banner(address: str, catalog: Catalog, config: Config) -> str:
    models = catalog.models()
    lines = [f"ominix serves {address}/v1 (docs: {address}/docs, Ctrl-C stops)"]
    lines += [_line(model) for model in models]
    if not any(m.kind and not m.note for m in models):
        lines.append(
            "No models yet: 'ominix pull qwen3-asr' fetches one for speech; "
            f"or put an mlx model's folder into {config.models_folder}."
        )
    return "\n".join(lines)


def _line(model: Model) -> str:
    remark = f"cannot be served: {model.trouble}" if model.trouble else model.note or ""
    return f"  {model.id}  {model.task}  {remark}".rstrip()


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            **getattr(record, "fields", {"message": record.getMessage()}),  # set by http.access
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _log_to_stderr(*, as_json: bool) -> None:
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if as_json else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
