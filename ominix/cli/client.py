"""The server that a command talks to: the one that runs here, or a private one for as long as needed."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from ominix import python_child
from ominix.cli import flags
from ominix.cli.progress import Spinner
from ominix.errors import ServerError
from ominix.server.hosts import http_address

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 600.0  # silence; the server pings every 15 s
NOT_OMINIX = "something else answers there"


@dataclass(frozen=True)
class Address:
    """Where a server may be: at `url`, else at `host` and `port`. The first key is sent."""

    url: str | None
    host: str
    port: int
    api_keys: Sequence[str] = ()


def add_flags(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """The flags of an Address."""
    parser.add_argument("--url", help="another server, such as 10.0.0.5:8080 or https://example.org")
    f = flags.Flags(parser, environ)
    f.address()
    f.many("api-key", "api_keys", flags.key, "a key for the server")


@dataclass(frozen=True)
class ModelState:
    """What a server says of one model."""

    id: str
    task: str
    loaded: bool


class Client:
    """Requests to the server at `url`, http or https, with or without /v1. Raises ServerError, also later."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        try:
            base = httpx2.URL(_with_scheme(url).rstrip("/").removesuffix("/v1"))
        except httpx2.InvalidURL:
            base = httpx2.URL("")
        if base.scheme not in ("http", "https") or not base.host:
            raise ServerError(f"{url} is not an http:// or https:// address")
        self._place = base.netloc.decode()
        self._http = httpx2.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # Not the environment's proxies, which do not lead to this machine; SSL_CERT_FILE counts.
            transport=httpx2.HTTPTransport(),
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def absence(self) -> str | None:
        """Why no ominix server answers there; None: one does."""
        try:
            answer = self._http.get("/livez", timeout=CONNECT_SECONDS)
            return None if answer.json() == {"status": "ok"} else NOT_OMINIX
        except ValueError:
            return NOT_OMINIX
        except httpx2.HTTPError as error:
            return told(error)

    def get(self, path: str) -> Any:  # whatever JSON the server sends
        with self._answer("GET", path) as answer:
            return json.loads(answer.read())

    def post(self, path: str) -> Any:
        """Without a body. The same."""
        with self._answer("POST", path) as answer:
            return json.loads(answer.read())

    def health(self) -> Mapping[str, Any]:
        """What /health says, also of a server that is not well."""
        try:
            return dict(self._http.get("/health").json())
        except (httpx2.HTTPError, ValueError) as error:
            raise ServerError(f"no answer from {self._place}: {told(error)}") from None

    def model(self, name: str) -> ModelState:
        """The one that `name` means there, an alias too."""
        found = self.get(f"/v1/models/{quote(name)}")
        return ModelState(found["id"], found.get("task", ""), bool(found.get("loaded")))

    def events(self, path: str, **content: Any) -> Iterator[dict[str, Any] | str]:
        """A streamed answer: each message's JSON as a dict, each comment as text.

        `content`: httpx2's arguments for a body. Open files among it are sent piece by piece.
        """
        with self._answer("POST", path, **content) as answer:
            for line in _lines(answer):
                if line.startswith(": "):
                    yield line[2:]
                elif line.startswith("data: {"):
                    message = json.loads(line[6:])
                    if "error" in message:
                        raise ServerError(message["error"]["message"])
                    yield message

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, **content: Any) -> Iterator[httpx2.Response]:
        try:
            with self._http.stream(method, path, **content) as answer:
                if not answer.is_success:
                    answer.read()
                    raise ServerError(_reason(answer), code=_code(answer))
                yield answer
        except httpx2.HTTPError as error:
            raise ServerError(f"no answer from {self._place}: {told(error)}") from None


def told(error: BaseException) -> str:
    """Its words, with what a Mac means by "No route to host" to an address of the same network."""
    chain: BaseException | None = error
    while chain is not None and getattr(chain, "errno", None) != errno.EHOSTUNREACH:
        chain = chain.__cause__ or chain.__context__
    advice = "; on a Mac allow this program under Privacy & Security, Local Network" if chain else ""
    return f"{error}{advice}"


def _lines(answer: httpx2.Response) -> Iterator[str]:
    """httpx2's own iter_lines also cuts at the other line ends of Unicode, which JSON text may contain."""
    rest = b""
    for chunk in answer.iter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def _with_scheme(url: str) -> str:
    return url if "://" in url or not url else f"http://{url}"


def _reason(answer: httpx2.Response) -> str:
    """The server's own sentence, but where a flag of ours is what helps."""
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        said = "refuses the key" if "Authorization" in answer.request.headers else "wants a key"
        return f"the server {said}: give it with --api-key KEY or in OMINIX_API_KEY"
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def _code(answer: httpx2.Response) -> str | None:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def running(address: Address) -> Iterator[Client]:
    """A client of the server that runs there. Raises ServerError."""
    url = address.url or http_address(address.host, address.port)
    with contextlib.closing(Client(url, next(iter(address.api_keys), None))) as client:
        absence = client.absence()
        if absence:
            raise ServerError(f"no ominix server answers at {url}: {absence}")
        yield client


@contextlib.contextmanager
def connected(home: Path, address: Address, *server_flags: str) -> Iterator[Client]:
    """A client of the server at that address; without a URL and a server there, of a private one.

    `server_flags` are for the private server. Raises ServerError.
    """
    url = address.url or http_address(address.host, address.port)
    key = next(iter(address.api_keys), None)
    with contextlib.closing(Client(url, key)) as client:
        absence = client.absence()
        if absence is None:
            yield client
            return
    if address.url:
        raise ServerError(f"no ominix server answers at {url}: {absence}")
    with _private_server(home, server_flags) as url, contextlib.closing(Client(url, key)) as client:
        yield client


@contextlib.contextmanager
def _private_server(home: Path, server_flags: Sequence[str]) -> Iterator[str]:
    address = ("--host", "127.0.0.1", "--port", "0")
    # In a session of its own: Ctrl-C is for the command, it stops an answer, not the server.
    server = python_child.start(
        "ominix",
        *("--home", str(home), "serve", *address, "--end-with-stdin", *server_flags),
        # Recordings are sent to it, none is named; and its folders may be relative to ours.
        environ={name: value for name, value in os.environ.items() if name != "OMINIX_AUDIO_ROOT"},
        stdin=subprocess.PIPE,  # its end is ours: see lifeline
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout
    try:
        with Spinner("starting"):
            banner = server.stdout.readline().decode(errors="replace")
        if "/v1" not in banner:
            raise ServerError("a server of our own could not be started; 'ominix serve' says why")
        yield banner.split("serves ")[1].split("/v1")[0]
    finally:
        for _ in range(2):  # the second does not wait for an answer that nobody reads
            server.send_signal(signal.SIGTERM)
        server.wait()
