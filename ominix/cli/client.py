"""The server that a command talks to: the one that runs here, or a private one for as long as needed."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ominix.config import Config

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 600.0  # silence; the server pings every 15 s


class ServerError(Exception):
    """The server said no, or there is none; the text is for the person at the terminal."""


class Client:
    """Requests to one server. `port` and `host` from `url`, http only."""

    def __init__(self, url: str, api_key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ServerError(f"{url} is not an http:// address")
        self._host, self._port = parts.hostname, parts.port or 80
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def answers(self) -> bool:
        """Whether an ominix server answers there."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        try:
            with contextlib.closing(connection):
                connection.request("GET", "/livez")
                return bool(json.loads(connection.getresponse().read()) == {"status": "ok"})
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Any:  # whatever JSON the server sends
        with self._request("GET", path, None, {}) as answer:
            return json.loads(answer.read())

    def events(self, path: str, body: Any, headers: dict[str, str]) -> Iterator[dict[str, Any] | str]:
        """A streamed answer: each message's JSON as a dict, each comment as text. Raises ServerError."""
        with self._request("POST", path, body, headers) as answer:
            for raw in answer:
                line = raw.decode().rstrip("\n")
                if line.startswith(": "):
                    yield line[2:]
                elif line.startswith("data: {"):
                    message = json.loads(line[6:])
                    if "error" in message:
                        raise ServerError(message["error"]["message"])
                    yield message

    @contextlib.contextmanager
    def _request(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, {**self._headers, **headers})
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise ServerError(f"no answer from {self._host}:{self._port}: {error}") from None
            if answer.status >= 400:
                raise ServerError(_reason(answer))
            yield answer


def _reason(answer: http.client.HTTPResponse) -> str:
    try:
        return str(json.loads(answer.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"


@contextlib.contextmanager
def connected(config: Config, url: str | None, *flags: str) -> Iterator[Client]:
    """A client of `url`; without one, of the server at the configured port, or else of a private one.

    `flags` are for the private server. Raises ServerError.
    """
    key = config.api_keys[0] if config.api_keys else None
    client = Client(url or f"http://{config.host}:{config.port}", key)
    if client.answers():
        yield client
    elif url:
        raise ServerError(f"no ominix server answers at {url}")
    else:
        with _private_server(config, *flags) as address:
            yield Client(address, None)


@contextlib.contextmanager
def _private_server(config: Config, *flags: str) -> Iterator[str]:
    command = [sys.executable, "-m", "ominix", "--home", str(config.home), "serve", "--port", "0", *flags]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the command: it stops an answer, not the server
    )
    assert server.stdout
    try:
        banner = server.stdout.readline()
        if "/v1" not in banner:
            raise ServerError("a server of our own could not be started; 'ominix serve' says why")
        yield banner.split("serves ")[1].split("/v1")[0]
    finally:
        for _ in range(2):  # the second does not wait for an answer that nobody reads
            server.send_signal(signal.SIGTERM)
        server.wait()
