"""Who may call: Host against DNS rebinding, Origin against other web pages, API keys.

The front door (parser.py) asks `Gate.check` as soon as a request's headers are read, before anything of its
body is stored. `Cors` only writes what browsers want to see on the answers. OPEN_PATHS lists all that is told
without a key.

    caller            asks for work   manages models   sees folders' paths
    no key there are  yes             yes              from this machine
    one of the keys   yes             if there is no   from this machine, if there
                                      admin key        is no admin key
    the admin key     yes             yes              yes

To manage is to download, delete, load and unload: who may transcribe need not empty the disk.

Each key is a tenant: what is kept of its prompts serves no other. Without keys all are one tenant. Clients
take turns: each key is one; without keys each address, of IPv6 each /64 network, which one machine may have
to itself.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from falcon import Request, Response

from ominix.errors import Forbidden, NotAuthenticated
from ominix.http.access import Rights
from ominix.http.answers import IGNORED
from ominix.server import hosts
from ominix.wire.jobs import Caller

# /health then tells its status alone (api/health.py).
OPEN_PATHS = ("/", "/v1", "/health", "/livez", "/openapi.json", "/docs", "/favicon.ico")
READING = ("GET", "HEAD", "OPTIONS")  # these methods start nothing and change nothing
MODELS = re.compile(r"/v1/models(/.*)?", re.DOTALL)  # what changes something there manages models
KEY_HEADERS = ("API_KEY", "X_API_KEY")
HEADER_NAMES = re.compile(r"[A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+){0,63}")
# A request with one of these came through a proxy, so that its sender may be anywhere.
PROXY_HEADERS = ("X_FORWARDED_FOR", "FORWARDED", "VIA", "X_REAL_IP")
# Sec-Fetch-Site of requests that no foreign page made. "same-site" may be another port or a sister domain.
OWN_SITES = ("none", "same-origin")


class Call(NamedTuple):
    """A request as far as its headers tell. Header names are in capitals with underscores, as in WSGI."""

    method: str
    path: str
    headers: Mapping[str, str]
    address: str  # the caller's


class Origins:
    """Which browsers' pages may call and read the answers; "*" in `allowed`: any."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(allowed)

    def allow(self, origin: str, address: str) -> bool:
        if origin in self._allowed or "*" in self._allowed:
            return True
        # What runs on this machine may call it anyway, so its pages gain nothing.
        return hosts.is_loopback(address) and hosts.is_local_page(origin)


class Gate:
    """Empty `keys`: anyone; empty `admin_keys`: whoever may call manages; "*" in `names`: any host."""

    def __init__(
        self,
        keys: tuple[str, ...],
        names: tuple[str, ...],
        origins: Origins,
        admin_keys: tuple[str, ...] = (),
    ) -> None:
        self._keys = [key.encode() for key in keys]
        self._admin_keys = [key.encode() for key in admin_keys]
        self._hosts = hosts.own_names() | set(map(_name, names))
        self._origins = origins
        self._secret = secrets.token_bytes(32)  # so nobody can find a key by its tenant's name

    def check(self, call: Call) -> Rights:
        """What the caller may be told. Raises Forbidden or NotAuthenticated."""
        self._check_host(call)
        self._check_origin(call)
        given = _given_key(call.headers)
        is_admin = _is_among(given, self._admin_keys)
        if is_admin or not self._keys or _is_among(given, self._keys):
            if self._admin_keys and not is_admin:
                _check_manages_nothing(call, given)
            sees_paths = is_admin or (not self._admin_keys and _is_local(call))
            has_key = given is not None and (is_admin or bool(self._keys))
            return Rights(paths=sees_paths, caller=self._caller(given if has_key else None, call.address))
        is_open = call.path in OPEN_PATHS and call.method in ("GET", "HEAD")
        if is_open or _is_preflight(call):
            return Rights(details=False, paths=False)
        if given is None:
            raise NotAuthenticated(
                "This server needs an API key: send it as 'Authorization: Bearer KEY'.",
                code="missing_api_key",
            )
        raise NotAuthenticated("The API key is not one of this server's.")

    def _caller(self, key: str | None, address: str) -> Caller:
        """`key`: one that was found to be ours."""
        if key is None:
            return Caller(client=self._opaque(f"address {_network(address)}"))
        tenant = self._opaque(f"key {key}")
        return Caller(tenant, client=tenant)

    def _opaque(self, name: str) -> str:
        return hashlib.blake2b(name.encode(), key=self._secret, digest_size=8).hexdigest()

    def _check_host(self, call: Call) -> None:
        # HTTP/1.0 may leave it out; no browser speaks that.
        host = hosts.authority(call.headers.get("HOST", "localhost"))
        if host is None or not self._allows_host(host.name):
            name = host.name[:100] if host else "?"
            raise Forbidden(
                f"The host name '{name}' is not allowed; start the server with "
                f"--allowed-host {name} if it is yours.",
                code="host_not_allowed",
            )

    def _allows_host(self, name: str) -> bool:
        if self._keys or "*" in self._hosts:
            return True  # a page that reaches us by a rebound name has no key
        # Rebinding needs a name that its owner can point elsewhere: no address, no name of the local network.
        return name in self._hosts or name.endswith(".local") or hosts.is_literal(name)

    def _check_origin(self, call: Call) -> None:
        """A foreign page cannot read the answer, but it could make the machine work or change things."""
        if call.method in READING:
            return
        origin = call.headers.get("ORIGIN")
        if origin is None:
            if call.headers.get("SEC_FETCH_SITE", "none") not in OWN_SITES:
                raise _foreign("other sites")
        elif not (
            hosts.is_same_origin(origin, call.headers.get("HOST", ""))
            or self._origins.allow(origin, call.address)
        ):
            raise _foreign(origin[:100])


def _is_among(given: str | None, keys: Sequence[bytes]) -> bool:
    sent = (given or "").encode("latin-1")  # a header's bytes
    matches = [hmac.compare_digest(sent, key) for key in keys]  # all of them, at any time
    return given is not None and any(matches)


def _check_manages_nothing(call: Call, given: str | None) -> None:
    """For a caller without the admin key."""
    if call.method in READING or not MODELS.fullmatch(call.path):
        return
    message = "To download, delete, load or unload models here, send the admin key as the API key."
    if given is None:
        raise NotAuthenticated(message, code="missing_api_key")
    raise Forbidden(message, code="admin_key_required")


def _network(address: str) -> str:
    """What one machine may call from."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # no address, as a socket of the file system has none
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def _is_local(call: Call) -> bool:
    """Whether it comes from this machine, as far as can be told."""
    return hosts.is_loopback(call.address) and not any(name in call.headers for name in PROXY_HEADERS)


def _name(allowed: str) -> str:
    """As Host headers are read: without case, port and final dot."""
    found = hosts.authority(allowed)
    return found.name if found else allowed


def _foreign(page: str) -> Forbidden:
    return Forbidden(
        f"Pages of {page} may not call; --allowed-origin at the start allows them.", code="origin_not_allowed"
    )


def _is_preflight(call: Call) -> bool:
    """Browsers ask so, without a key, whether a page's request would be taken."""
    return call.method == "OPTIONS" and "ACCESS_CONTROL_REQUEST_METHOD" in call.headers


def _given_key(headers: Mapping[str, str]) -> str | None:
    scheme, _, value = headers.get("AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return next((headers[name] for name in KEY_HEADERS if headers.get(name)), None)


def cors_headers(origins: Origins, origin: str | None, address: str) -> list[tuple[str, str]]:
    """What lets a page read the answer, a refusal too; none for pages that may not."""
    if origin is None or not origins.allow(origin, address):
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", f"x-request-id, Retry-After, {IGNORED}"),
        ("Vary", "Origin"),
    ]


class Cors:
    """falcon middleware: pages of allowed origins may read the answers, and their preflights are answered."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def process_request(self, req: Request, resp: Response) -> None:
        headers = cors_headers(self._origins, req.get_header("Origin"), req.remote_addr)
        for name, value in headers:
            resp.append_header(name, value)
        if headers and req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method"):
            resp.status = 204
            resp.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
            resp.set_header("Access-Control-Allow-Headers", _allowed_headers(req))
            if req.get_header("Access-Control-Request-Private-Network") == "true":
                # A page of the web asks whether it may call into this network.
                resp.set_header("Access-Control-Allow-Private-Network", "true")
            resp.set_header("Access-Control-Max-Age", "600")
            resp.complete = True


def _allowed_headers(req: Request) -> str:
    """Those that are asked for by name: "*" counts for few browsers, and never for Authorization."""
    asked = req.get_header("Access-Control-Request-Headers", default="")
    return asked if HEADER_NAMES.fullmatch(asked) else "*, Authorization, Content-Type"
