"""Host and Origin headers, read by grammar (RFC 3986, RFC 6454), and which of them are this machine's own.

To compare beginnings is not enough: `[::1].evil.example` and `localhost:80@evil.example` begin like loopback.
What does not parse is None. Knows nothing of requests.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from typing import NamedTuple

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
# What containers call the machine that they run on (Docker, Podman).
CONTAINERS_HOST = ("host.docker.internal", "host.containers.internal")
# Pages of desktop apps (Electron, Tauri, Capacitor); no web page has such an origin.
APP_ORIGIN = re.compile(r"(?:app|tauri|capacitor|file)://[A-Za-z0-9._-]*(?::[0-9]{1,5})?")
AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{0,254})(?::([0-9]{0,5}))?")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a browser takes a name that ends so for an address
DEFAULT_PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """`name` in lower case, an IPv6 address in brackets and in its shortest form."""

    name: str
    port: int | None


def authority(text: str) -> Authority | None:
    """A name or address literal with an optional port; no user information."""
    matched = AUTHORITY.fullmatch(text)
    name = _name(matched[1].lower()) if matched else None
    if matched is None or name is None:
        return None
    port = int(matched[2]) if matched[2] else None
    return None if port is not None and port > 65535 else Authority(name, port)


def _name(text: str) -> str | None:
    if text.startswith("["):
        found = _address(text[1:-1])
        return f"[{found.compressed}]" if found and found.version == 6 else None
    labels = text.removesuffix(".").split(".") if text else []
    if not all(map(LABEL.fullmatch, labels)):
        return None
    if labels and NUMBER.fullmatch(labels[-1]) and not _address(text):
        return None
    return ".".join(labels)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_literal(name: str) -> bool:
    """Whether an Authority's name is an address."""
    return _address(name.strip("[]")) is not None


def is_loopback(address: str) -> bool:
    """Whether a socket's peer is on this machine."""
    found = _address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found is not None and found.is_loopback


def own_names() -> frozenset[str]:
    """What this machine is called, by itself and in its containers."""
    name = socket.gethostname().lower().removesuffix(".")
    return frozenset((*LOOPBACK_NAMES, *CONTAINERS_HOST, name, name.partition(".")[0])) - {""}


def network_addresses() -> list[str]:
    """The addresses at which other machines of the network reach this one.

    A UDP socket that is connected sends nothing, and has the address of the way out. Both targets are
    reserved for documentation (RFC 5737, RFC 3849).
    """
    found = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way_out:
            way_out.connect((target, 9))
            found.append(way_out.getsockname()[0])
    # A link-local one would need a zone, which no URL has.
    return [text for text in found if not (is_loopback(text) or text.startswith("fe80:"))]


def http_address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from the server that the Host header names."""
    scheme, page = _page(origin)
    asked = authority(host)
    if page is None or asked is None or not page.name:
        return False
    default = DEFAULT_PORTS[scheme]
    return (page.name, page.port or default) == (asked.name, asked.port or default)


def is_local_page(origin: str) -> bool:
    """A desktop app's page, or one that a server on the browser's own machine sent."""
    _, page = _page(origin)
    if page is None:
        return APP_ORIGIN.fullmatch(origin) is not None
    return page.name in LOOPBACK_NAMES or page.name.endswith(".localhost")


def _page(origin: str) -> tuple[str, Authority | None]:
    """Scheme and host of a web page's origin, which browsers write in lower case."""
    scheme, _, rest = origin.partition("://")
    is_web = scheme in DEFAULT_PORTS and rest == rest.lower()
    return scheme, authority(rest) if is_web else None
