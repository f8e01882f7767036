"""Values and errors out as HTTP: the one place that knows status codes and the shape of an error."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import falcon
from falcon import HTTPError, Request, Response

from ominix import errors
from ominix.http import schemas

log = logging.getLogger("ominix.http")

RETRY_SECONDS = 2
IGNORED = "X-Ominix-Ignored"  # header: what of the request was not heeded (--ignore-unsupported)
MAX_DEPTH = 100  # levels of an answer that holds what JSON lacks
MAX_BITS = 4096  # Python writes no integers of more than 4,300 digits
MAX_SAMPLED_BYTES = 16 << 10  # about 30 ms of checking
# Class -> status, OpenAI's error type. The first that fits counts.
STATUSES: tuple[tuple[type[errors.OminixError], int, str], ...] = (
    (errors.TooLarge, 413, "invalid_request_error"),
    (errors.InvalidRequest, 400, "invalid_request_error"),
    (errors.NotAuthenticated, 401, "authentication_error"),
    (errors.Forbidden, 403, "permission_error"),
    (errors.ModelNotFound, 404, "not_found"),
    (errors.UnknownUrl, 404, "not_found"),
    (errors.Conflict, 409, "conflict"),
    (errors.ClientLeft, 499, "client_left"),  # nginx's number: for the log, nobody reads the answer
    (errors.Busy, 429, "rate_limit_error"),
    (errors.Unavailable, 503, "server_error"),
    (errors.OminixError, 500, "server_error"),
)
# falcon's own refusals: status -> our code; the rest are "http_<status>".
HTTP_CODES = {404: "unknown_url", 405: "method_not_allowed", 415: "unsupported_media_type", 507: "disk_full"}
# A client library must not repeat these by itself: it would not help, or kill the next worker too.
FINAL = (errors.Conflict, errors.InputFailed, errors.WorkerCrashed)


def http_code(status: int) -> str:
    """Our code of a refusal that has none of its own."""
    return HTTP_CODES.get(status, f"http_{status}")


def json_bytes(value: object) -> bytes:
    """Never raises, whatever strangers' files and models have put into the value.

    Half surrogates, which UTF-8 lacks, become JSON's escapes; numbers that JSON lacks become null.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        text = json.dumps(_writable(value, MAX_DEPTH), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def _writable(value: object, depth: int) -> object:
    """What JSON can say of it. `depth`: how many levels more are looked at."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= MAX_BITS else None
    if isinstance(value, dict) and depth:
        return {str(key): _writable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_writable(item, depth - 1) for item in value]
    return f"<{type(value).__name__}>"


def error_body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: errors.OminixError) -> tuple[int, dict[str, Any]]:
    """Status and JSON body."""
    status, kind = next((s, t) for cls, s, t in STATUSES if isinstance(error, cls))
    return status, error_body(error.message, kind, error.param, error.code)


def headers_of(status: int) -> list[tuple[str, str]]:
    if status in (429, 503):
        return [("Retry-After", str(RETRY_SECONDS))]
    return [("WWW-Authenticate", "Bearer")] if status == 401 else []


class Answers:
    """Writes JSON responses. In: plain values. Out: bytes, held to their schema.

    Strict, for tests: each of them, and one that breaks its schema is a 500. Else a sample, and a break is a
    line in the log: the check of an answer of six hours takes 4 s, in which no other thread goes on.
    """

    def __init__(self, *, strict: bool, sample_every: int = 100) -> None:
        """`sample_every`: of so many answers with one schema the first is checked, unless it is large."""
        self._strict = strict
        self._sample_every = sample_every
        self._sent: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)  # by schema

    def send(self, resp: Response, schema: str, body: object, status: int = 200) -> None:
        data = json_bytes(body)
        wrong = schemas.mismatch(schema, body) if self._is_checked(schema, len(data)) else None
        if wrong:
            log.error("a response breaks its schema: %s", wrong)
            if self._strict:
                raise errors.OminixError("The response does not fit its schema.", code="internal_error")
        resp.status = status
        resp.content_type = "application/json"
        resp.data = data

    def _is_checked(self, schema: str, size_bytes: int) -> bool:
        if self._strict:
            return True
        return next(self._sent[schema]) % self._sample_every == 0 and size_bytes <= MAX_SAMPLED_BYTES

    def event(self, schema: str, body: object) -> bytes:
        """JSON of a streamed event; its schema is looked at in strict mode only, for speed."""
        wrong = schemas.mismatch(schema, body) if self._strict else None
        if wrong:
            raise errors.OminixError(f"An event breaks its schema: {wrong}", code="internal_error")
        return json_bytes(body)


def install_error_handlers(app: falcon.App[Request, Response]) -> None:
    """Every error of every path leaves in one shape."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(OSError, _system_error)
    app.add_error_handler(HTTPError, _http_error)
    app.add_error_handler(errors.OminixError, _known)


def _known(req: Request, resp: Response, error: errors.OminixError, params: object) -> None:
    status, body = body_of(error)
    resp.set_headers(headers_of(status))
    if isinstance(error, FINAL):
        resp.set_header("x-should-retry", "false")
    _write(resp, status, body)


def _http_error(req: Request, resp: Response, error: HTTPError, params: object) -> None:
    status = error.status_code
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    kind = "not_found" if status == 404 else "server_error" if status >= 500 else "invalid_request_error"
    message = _message(req, status, error)
    _write(resp, status, error_body(message, kind, None, http_code(status)))


def _message(req: Request, status: int, error: HTTPError) -> str:
    if status == 404:
        return f"There is nothing at {req.method} {req.path}. /docs lists the endpoints."
    if status == 405:
        return f"{req.path} does not take {req.method}."
    return error.description or error.title or f"HTTP {status}"


def _system_error(req: Request, resp: Response, error: OSError, params: object) -> None:
    """What the machine lacks costs the request; paths are not for clients."""
    if error.errno not in errors.LACKS:
        _unexpected(req, resp, error, params)
        return
    log.error("%s %s: %s", req.method, req.path, error)
    status, code, message = 503, "unavailable", f"The server's machine refuses: {error.strerror}."
    if error.errno in errors.FULL_DISK:
        status, code, message = 507, http_code(507), "The disk of the server is full."
    resp.set_headers(headers_of(status))
    _write(resp, status, error_body(message, "server_error", None, code))


def _unexpected(req: Request, resp: Response, error: Exception, params: object) -> None:
    log.error("%s %s failed", req.method, req.path, exc_info=error)
    _write(
        resp,
        500,
        error_body("The server failed; its log says why.", "server_error", None, "internal_error"),
    )


def _write(resp: Response, status: int, body: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = "application/json"
    resp.stream = None
    resp.text = None
    resp.data = json_bytes(body)
