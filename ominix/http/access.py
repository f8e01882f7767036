"""Around every request: its id, and one log line when its last byte has been handed over.

The line holds sizes and times, nothing of what a user wrote or said.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from falcon import Request

from ominix.wire.jobs import NOBODY, Caller

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("ominix.access")

ENTRY = "ominix.access_entry"  # in the environment of a request
RIGHTS = "ominix.rights"  # in the environment: the caller's Rights
SANE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
MAX_PATH = 200  # characters of a path that the log shows


def fresh_id() -> str:
    return f"req_{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Rights:
    """What a caller may be told; server/gate decides. Who may not call at all, does not get this far."""

    details: bool = True  # of the server's health
    paths: bool = True  # of folders on the machine
    caller: Caller = NOBODY  # in whose name jobs run


def rights(req: Request) -> Rights:
    found: Rights = req.env.get(RIGHTS, Rights())
    return found


class AccessEntry:
    """What the log line will say. Times in milliseconds since the request was complete."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        asked = environ.get("HTTP_X_REQUEST_ID", "")
        self.request_id = asked if SANE_ID.fullmatch(asked) else fresh_id()
        self.method = environ["REQUEST_METHOD"]
        self.path = environ["PATH_INFO"]
        self.status = 0
        self.model: str | None = None
        self.sent_bytes = 0
        self._begun = time.monotonic()
        self._queue_ms: float | None = None
        self._first_event_ms: float | None = None

    def submitted(self, model: str) -> None:
        self.model = model
        self._queue_ms = self._ms()

    def first_event(self) -> None:
        if self._first_event_ms is None:
            self._first_event_ms = self._ms()

    def _ms(self) -> float:
        return round((time.monotonic() - self._begun) * 1000, 1)

    def fields(self) -> dict[str, Any]:
        return {
            "id": self.request_id,
            "method": self.method,
            "path": self.path[:MAX_PATH],
            "status": self.status,
            "model": self.model,
            "queue_ms": self._queue_ms,
            "first_event_ms": self._first_event_ms,
            "total_ms": self._ms(),
            "bytes": self.sent_bytes,
        }


def entry(req: Request) -> AccessEntry:
    found: AccessEntry = req.env[ENTRY]
    return found


class _Watched:
    """A response body that counts its bytes and writes its log line when it is closed."""

    def __init__(self, body: Iterable[bytes], entry: AccessEntry) -> None:
        self._body = body
        self._entry = entry

    def __iter__(self) -> Iterator[bytes]:
        if self._entry.method == "HEAD":
            return
        for chunk in self._body:
            self._entry.sent_bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        close = getattr(self._body, "close", None)  # WSGI: a body may have one
        if close is not None:
            close()
        write(self._entry.fields())


def write(fields: dict[str, Any]) -> None:
    """One line of the log; fields that are None are left out."""
    shown = {key: value for key, value in fields.items() if value is not None}
    log.info(" ".join(f"{k}={_quoted(v)}" for k, v in shown.items()), extra={"fields": shown})


def _quoted(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


def logged(app: WSGIApplication) -> WSGIApplication:
    """`app` with request ids and a log line per request; doubled slashes and HEAD are forgiven."""

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = re.sub("//+", "/", environ["PATH_INFO"])
        entry = environ[ENTRY] = AccessEntry(environ)
        if entry.method == "HEAD":
            environ["REQUEST_METHOD"] = "GET"  # the same answer, its body withheld

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            entry.status = int(status[:3])
            return start_response(status, [*headers, ("x-request-id", entry.request_id)], *exc_info)

        return _Watched(app(environ, start), entry)

    return wrapped
