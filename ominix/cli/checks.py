"""What `ominix doctor` looks at beside mlx: models, memory, disk, the hub, the server."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2

from ominix.cli import port_owner
from ominix.cli.client import Client
from ominix.cli.table import size
from ominix.errors import OminixError
from ominix.families.table import recommended
from ominix.library.catalog import EMBEDDED, Catalog
from ominix.library.model import INSTALLED, Model
from ominix.server.hosts import http_address
from ominix.server.port import listener
from ominix.workers import machine

HUB_SECONDS = 4.0


def models(home: Path) -> Iterator[str]:
    """Those that are here, what is missing, and what they need against what there is."""
    catalog = Catalog(home / "models", embedded=EMBEDDED)
    found = catalog.models()
    yield f"home: {home}, {len(found)} models"
    for model in found:
        trouble = f", cannot be served: {model.trouble}" if model.trouble else ""
        yield f"  {model.id}: {model.task}, {size(model.size_bytes)}{trouble}"
    usable = [model for model in found if model.origin == INSTALLED and not model.trouble]
    for ability, word in (("transcribe", "speech"), ("chat", "chat")):
        if not any(ability in model.abilities for model in usable):
            yield f"  missing: a model for {word}: 'ominix pull {recommended(ability)}'"
    yield from _word_times(catalog, usable)
    yield from _memory(usable)
    folder = next((p for p in (home, *home.parents) if p.exists()), home)
    yield f"disk: {shutil.disk_usage(folder).free / 1e9:.0f} GB free"


def _word_times(catalog: Catalog, usable: Sequence[Model]) -> Iterator[str]:
    for model in usable:
        if "transcribe" in model.abilities:
            try:
                catalog.helpers_for(model, {"words"})
            except OminixError as error:
                yield f"  missing for the times of words: {error.message}"
                return


def _memory(usable: Sequence[Model]) -> Iterator[str]:
    budget = machine.models_bytes()
    memory = machine.memory_bytes()
    yield f"memory: {memory / 1e9:.1f} GB; models may take {budget / 1e9:.1f} GB together (--memory-gib)"
    for model in usable:
        if model.size_bytes > budget:
            yield f"  too large: {model.id} has {size(model.size_bytes)}"


def hub(endpoint: str) -> str:
    try:
        httpx2.head(endpoint, timeout=HUB_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return (
            f"hub: {endpoint} cannot be reached ({type(error).__name__}); behind a proxy set HTTPS_PROXY, "
            "a mirror is named in HF_ENDPOINT"
        )
    return f"hub: answers at {endpoint}"


def server(host: str, port: int) -> str:
    address = http_address(host, port)
    with contextlib.closing(Client(address)) as client:
        if client.absence() is None:
            return f"server: answers at {address}"
    return f"server: none at {address}; {_port(host, port)}"


def _port(host: str, port: int) -> str:
    try:
        listener(host, port).close()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        owner = port_owner.of(host, port) if taken else error.strerror
        return f"the port cannot be had: {owner or 'it is taken'}"
    return "the port is free"
