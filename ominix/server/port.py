"""A port to listen on that clients will not find somebody else behind."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket

LOOPBACK = ("127.0.0.1", "::1")
CONNECT_SECONDS = 1.0


def listener(host: str, port: int) -> socket.socket:
    """A socket that is bound and listens; port 0: any free one. Raises OSError.

    A port that answers already is taken, even where the system would give it to us too: macOS lets us bind
    127.0.0.1 beside a program that has all addresses, and any system beside one on ::1, where the name
    localhost leads first.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if port and _answers(str(address[0]), port):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(1024)
    except OSError:
        made.close()
        raise
    return made


def _answers(host: str, port: int) -> bool:
    ip = ipaddress.ip_address(host.partition("%")[0])
    for near in LOOPBACK if ip.is_loopback or ip.is_unspecified else (host,):
        with contextlib.suppress(OSError), socket.create_connection((near, port), CONNECT_SECONDS):
            return True
    return False
