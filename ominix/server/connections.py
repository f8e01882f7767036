"""Who is let in: all at once, up to a limit; at the limit the one longest without a request goes.

A limit that stops accepting would let silent clients shut everybody out for good. One address may hold three
quarters of the limit, so that another one gets in. When the process has no more descriptors an idle one
goes, too: a listener that nobody accepts from stays readable, and the loop would turn without end.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from waitress.server import TcpWSGIServer

from ominix.server.channels import Channel
from ominix.server.parser import Door

log = logging.getLogger("ominix.server")

OPEN_FILES = 8192
# A connection has a socket, its body's file and perhaps its upload's.
FILES_PER_CONNECTION = 3
ACCEPTED_AT_ONCE = 256  # connections; between two such rounds those that are open are looked at
ADDRESS_SHARE = 3 / 4  # of the limit
# The kernel's part of an answer that nobody takes. A socket counts as writable when a third is free, so this
# also says how much a client has to read within the send timeout.
SEND_BUFFER_BYTES = 128 << 10
LOOK_SECONDS = 1.0
PAUSE_SECONDS = 0.2  # while nobody can be let in
LOG_SECONDS = 60.0


def raise_open_files() -> int:
    """Let this process have more files open than macOS' usual 256; how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


class Acceptor(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    channel_class = Channel

    def __init__(self, application: Any, door: Door, send_timeout_seconds: float, **settings: Any) -> None:
        self.door = door
        self.clock = 0.0  # seconds that the loop has run; stands still while the process is stopped
        self._send_timeout_seconds = send_timeout_seconds
        self._looked_at = time.monotonic()
        self._next_look = LOOK_SECONDS
        self._pause_until = 0.0
        self._silent_until = 0.0
        self._held: Counter[str] = Counter()  # connections by address
        super().__init__(application, **settings)

    def look(self) -> None:
        """For the loop, between its rounds."""
        now = time.monotonic()
        self.clock += min(now - self._looked_at, LOOK_SECONDS)
        self._looked_at = now
        if self.clock >= self._next_look:
            self._next_look = self.clock + LOOK_SECONDS
            for channel in list(self.active_channels.values()):
                channel.look(self._send_timeout_seconds)

    def readable(self) -> bool:
        return self.accepting and time.monotonic() >= self._pause_until

    def handle_accept(self) -> None:
        limit = self.adj.connection_limit
        idle = self._idle()
        for _ in range(min(ACCEPTED_AT_ONCE, max(1, limit // 4))):
            if len(self.active_channels) >= limit and not self._drop(idle, f"{limit} connections are open"):
                self._pause_until = time.monotonic() + PAUSE_SECONDS
                return
            try:
                accepted = self.accept()
            except OSError as error:
                if not self._drop(idle, f"a connection cannot be accepted: {error.strerror}"):
                    self._pause_until = time.monotonic() + PAUSE_SECONDS
                return
            if accepted is None:  # nobody else is waiting
                return
            connection, address = accepted
            self._let_in(connection, address, idle)

    def _let_in(self, connection: Any, address: Any, idle: Iterator[Channel]) -> None:
        try:
            self.set_socket_options(connection)
        except OSError:  # macOS: it has left already
            connection.close()
            return
        most = max(1, int(self.adj.connection_limit * ADDRESS_SHARE))
        if self._held[address[0]] >= most:
            own = (channel for channel in idle if channel.addr[0] == address[0])
            if not self._drop(own, f"{address[0]} has {most} connections"):
                connection.close()
                return
        self.channel_class(self, connection, address, self.adj, map=self._map)
        self._held[address[0]] += 1

    def set_socket_options(self, conn: socket.socket) -> None:
        super().set_socket_options(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def left(self, address: Any) -> None:
        self._held[address[0]] -= 1
        if not self._held[address[0]]:
            del self._held[address[0]]

    def _idle(self) -> Iterator[Channel]:
        """Those that nobody serves, longest without a request first. Sorted when the first is asked for."""
        yield from sorted(self.active_channels.values(), key=lambda channel: channel.rank)

    def _drop(self, idle: Iterator[Channel], reason: str) -> bool:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + LOG_SECONDS
            log.warning("%s: those longest without a request are closed", reason)
        for channel in idle:
            if channel.connected and not channel.is_served:
                channel.handle_close()
                return True
        return False
