"""waitress around the app: the socket, the thread count, JSON for its own errors, the orderly stop."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from waitress import wasyncore

from ominix.library.downloads import Downloads
from ominix.server import port
from ominix.server.awake import Awake, power_of_this_machine
from ominix.server.channels import MAX_PIPELINED
from ominix.server.connections import FILES_PER_CONNECTION, Acceptor, raise_open_files
from ominix.server.parser import ABSURD_BYTES, Door
from ominix.server.threads import Dispatcher
from ominix.workers.pool import Pool

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger("ominix.server")

SPARE_THREADS = 16  # for refusals while every job holds a thread
MAX_HEADER_BYTES = 32 * 1024
BODY_MEMORY_BYTES = 64 << 10  # of a request's body; what is beyond lies on the disk
# Of an answer that its client does not take; what is beyond the first lies on the disk. So its thread and its
# job are soon done with it: a job whose thread waits keeps its events in memory, ten times as much. Beyond
# the second, the thread waits.
UNSENT_MEMORY_BYTES = 256 << 10
UNSENT_BYTES = 32 << 20
FLUSH_SECONDS = 5.0  # how long finished answers may take to leave when the server stops


class Server:
    """`bind` may raise OSError; `run` returns when the server has stopped in order."""

    def __init__(
        self,
        app: WSGIApplication,
        door: Door,
        pool: Pool,
        downloads: Downloads,
        *,
        address: tuple[str, int],
        send_timeout_seconds: float,
        drain_seconds: float,
    ) -> None:
        """`pool` and `downloads` are what the app uses: they are waited for, and closed, at the stop."""
        self._app = app
        self._door = door
        self._pool = pool
        self._downloads = downloads
        self._address = address
        self._send_timeout_seconds = send_timeout_seconds
        self._drain_seconds = drain_seconds
        self._stop_at: float | None = None
        self._map: dict[int, Any] = {}  # waitress's own objects by file descriptor
        self._waitress: Any = None  # waitress has no types

    def bind(self) -> tuple[str, int]:
        """Listen; the host and port that were got. The socket is ours, so that a taken port says so."""
        listener = port.listener(*self._address)
        self._waitress = Acceptor(
            self._app,
            self._door,
            self._send_timeout_seconds,
            map=self._map,
            _sock=listener,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            dispatcher=Dispatcher(self._pool.capacity + SPARE_THREADS),
            connection_limit=raise_open_files() // FILES_PER_CONNECTION,
            channel_request_lookahead=MAX_PIPELINED,  # else nobody notices that a client left
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=ABSURD_BYTES,  # the parser knows each endpoint's limit
            inbuf_overflow=BODY_MEMORY_BYTES,
            outbuf_overflow=UNSENT_MEMORY_BYTES,
            outbuf_high_watermark=UNSENT_BYTES,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
            ident="ominix",
        )
        got = listener.getsockname()
        return str(got[0]), int(got[1])

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one does not wait for running jobs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        awake = Awake(power_of_this_machine())
        while not self._finished():
            wasyncore.loop(timeout=0.5, use_poll=True, map=self._map, count=1)
            self._waitress.look()
            awake.look(lambda: self._pool.jobs_aboard > 0, time.monotonic())
        self._downloads.close()
        self._pool.close()
        self._flush()
        self._waitress.task_dispatcher.shutdown(FLUSH_SECONDS)
        wasyncore.close_all(self._map)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._pool.draining:
            self._stop_at = time.monotonic()
            return
        self._pool.draining = True
        self._stop_at = time.monotonic() + self._drain_seconds
        self._waitress.pull_trigger()  # a signal alone does not end the loop's poll
        jobs = self._pool.jobs_aboard
        if jobs:
            log.warning("stopping: waiting for %d running jobs; again to stop at once", jobs)

    def _finished(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._pool.jobs_aboard or time.monotonic() >= self._stop_at

    def _flush(self) -> None:
        """Let answers that are done leave: jobs that just failed still tell their clients why."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._busy() and time.monotonic() < deadline:
            wasyncore.loop(timeout=0.1, use_poll=True, map=self._map, count=1)

    def _busy(self) -> bool:
        channels = list(self._waitress.active_channels.values())
        return any(channel.requests or channel.total_outbufs_len for channel in channels)
