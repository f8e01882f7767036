"""Sends messages over a Unix socket without waiting: what the socket does not take at once stays in a buffer.

In: messages and descriptors, from any thread. Out: the bytes of `transport`, in order, as far as the socket
takes them. The one thread that polls the socket calls `flush` when it is writable; `wakeup` is readable when
that thread should look again: a message was left in the buffer while it polled for reading alone.

The lock is held for a sendmsg that does not block. The buffer is bounded: a peer that is stopped, or has not
started yet, costs memory and no thread.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from ominix.wire.transport import MAX_FRAME_BYTES, Descriptors, frame, send_some

MAX_WAITING_BYTES = 256 << 20


class OutboxFull(Exception):
    """So many bytes wait that a message which is not urgent has to be refused."""


class Outbox:
    def __init__(
        self,
        end: socket.socket,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._max_frame_bytes = max_frame_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._frames: deque[tuple[memoryview, Descriptors]] = deque()  # of the first, perhaps the rest alone
        self._waiting_bytes = 0
        self._closed = False
        self._lock = threading.Lock()  # guards all of these and the order of bytes
        self.wakeup, self._wake = os.pipe()
        for descriptor in (self.wakeup, self._wake):
            os.set_blocking(descriptor, False)

    @property
    def waiting(self) -> bool:
        """There is something to flush."""
        return bool(self._frames)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = (), *, urgent: bool = False) -> None:
        """Never waits. The caller's descriptors stay open: what has to wait is a copy of them.

        Raises FrameTooLarge, OutboxFull unless it is urgent, OSError when the other end has gone.
        """
        data = memoryview(frame(message, descriptors, self._max_frame_bytes))
        with self._lock:
            if self._closed:
                raise BrokenPipeError("the outbox is closed")
            if self._waiting_bytes + len(data) > self._max_waiting_bytes and self._frames and not urgent:
                raise OutboxFull
            sent = 0 if self._frames else send_some(self._end, data, descriptors)
            if sent == len(data):
                return
            copies = [os.dup(descriptor) for descriptor in descriptors] if not sent else []
            self._frames.append((data[sent:], Descriptors(copies)))
            self._waiting_bytes += len(data) - sent
            with contextlib.suppress(BlockingIOError):  # full of wakes: it will look
                os.write(self._wake, b"\0")

    def flush(self) -> None:
        """Send a part of what waits, as much as the socket takes at once. Raises OSError."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup, 4096)
        with self._lock:
            if not self._frames:
                return
            data, descriptors = self._frames[0]
            sent = send_some(self._end, data, descriptors.numbers)
            self._waiting_bytes -= sent
            if sent:
                descriptors.close()  # they went with the first byte
            if sent < len(data):
                self._frames[0] = data[sent:], descriptors
            else:
                self._frames.popleft()

    def close(self) -> None:
        """Forget what waits. The socket is not closed: it is the transport's."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._frames.clear()
            os.close(self.wakeup)
            os.close(self._wake)
