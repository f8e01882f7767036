"""Who may call: Host against DNS rebinding, Origin against other web pages, API keys. Runs before routing."""

from __future__ import annotations

import hmac

from falcon import Request, Response

from ominix.errors import Forbidden, NotAuthenticated

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
OPEN_PATHS = ("/", "/health", "/livez", "/openapi.json", "/docs")  # say nothing private
KEY_HEADERS = ("api-key", "x-api-key")


class Gate:
    """falcon middleware. Empty `keys`: anyone; `hosts` with "*": any name."""

    def __init__(self, keys: tuple[str, ...], hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self._keys = [key.encode() for key in keys]
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK_NAMES, *hosts))
        self._origins = frozenset(origins)

    def process_request(self, req: Request, resp: Response) -> None:
        self._check_host(req)
        self._check_origin(req, resp)
        if self._is_preflight(req):
            self._answer_preflight(resp)
        elif self._keys and req.path not in OPEN_PATHS:
            self._check_key(req)

    def _check_host(self, req: Request) -> None:
        host = _name(req.get_header("Host", default="localhost")).lower()
        if host not in self._hosts and "*" not in self._hosts:
            raise Forbidden(
                f"The host name '{host[:100]}' is not allowed; start the server with "
                f"--allowed-host {host[:100]} if it is yours.",
                code="host_not_allowed",
            )

    def _check_origin(self, req: Request, resp: Response) -> None:
        origin = req.get_header("Origin")
        if origin is None:
            return
        if origin in self._origins or "*" in self._origins:
            resp.set_header("Access-Control-Allow-Origin", origin)
            resp.set_header("Access-Control-Expose-Headers", "x-request-id, Retry-After")
            resp.append_header("Vary", "Origin")
        elif self._is_foreign_page(req, origin) and req.method not in ("GET", "HEAD", "OPTIONS"):
            # It cannot read the answer, but it could make the machine work or change things.
            raise Forbidden(
                f"Pages of {origin[:100]} may not call; --allowed-origin at the start allows them.",
                code="origin_not_allowed",
            )

    @staticmethod
    def _is_foreign_page(req: Request, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return scheme in ("http", "https") and host != req.get_header("Host")

    def _is_preflight(self, req: Request) -> bool:
        asks = req.get_header("Access-Control-Request-Method") is not None
        return req.method == "OPTIONS" and asks and bool(self._origins)

    @staticmethod
    def _answer_preflight(resp: Response) -> None:
        resp.status = 204
        resp.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        resp.set_header("Access-Control-Allow-Headers", "*, Authorization")
        resp.set_header("Access-Control-Max-Age", "600")
        resp.complete = True

    def _check_key(self, req: Request) -> None:
        given = _given_key(req)
        if given is None:
            raise NotAuthenticated(
                "This server needs an API key: send it as 'Authorization: Bearer KEY'.",
                code="missing_api_key",
            )
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]  # all, at any time
        if not any(matches):
            raise NotAuthenticated("The API key is not one of this server's.")


def _given_key(req: Request) -> str | None:
    scheme, _, value = (req.auth or "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return next((v for v in map(req.get_header, KEY_HEADERS) if v), None)


def _name(host: str) -> str:
    """A Host header without its port; [::1] keeps its brackets."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
