"""Typed messages with file descriptors over one end of a Unix socket pair.

In: msgspec structs, and open descriptors that go with them. Out: the same at the other end, in order. Never
pickle: a process that a hostile file has taken over can send wrong values, and no code.

A frame is

    size of the body (4 bytes, little-endian) | number of descriptors (1 byte) | body (MessagePack)

The kernel hands over a frame's descriptors with its first byte (SCM_RIGHTS). One read may bring several
frames or a part of one, so descriptors wait in a queue until the frame that counts them is whole. They belong
to whoever receives the message; those that nobody takes are closed with it.

The socket never blocks. `Transport` waits with poll: for a child, and for a parent that may wait.
`outbox.Outbox` sends without waiting. Knows no message by name.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

HEADER = struct.Struct("<IB")
MAX_FRAME_BYTES = 256 << 20  # ten times the largest request that the server takes by default
MAX_DESCRIPTORS = 4  # of one frame
READ_BYTES = 1 << 16

_ENCODER = msgspec.msgpack.Encoder()

In = TypeVar("In")


class NotAMessage(Exception):
    """The other end sent bytes that are no frame, or a frame that holds no message of ours."""


class FrameTooLarge(Exception):
    """A message to send has more than the bytes that are allowed."""


class Descriptors:
    """Open descriptors that came with a message. What nobody takes is closed."""

    def __init__(self, numbers: Sequence[int] = ()) -> None:
        self._numbers = deque(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> Sequence[int]:
        return self._numbers

    def take(self) -> int:
        """The next one, which is the caller's to close. Raises NotAMessage if there is none."""
        if not self._numbers:
            raise NotAMessage("a message came without the descriptor that it names")
        return self._numbers.popleft()

    def close(self) -> None:
        while self._numbers:
            os.close(self._numbers.popleft())

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class Received(Generic[In]):
    message: In
    descriptors: Descriptors = field(default_factory=Descriptors)


def frame(message: msgspec.Struct, descriptors: Sequence[int] = (), limit: int = MAX_FRAME_BYTES) -> bytes:
    """The bytes to send. Raises FrameTooLarge."""
    assert len(descriptors) <= MAX_DESCRIPTORS
    buffer = bytearray(HEADER.size)
    _ENCODER.encode_into(message, buffer, HEADER.size)
    size = len(buffer) - HEADER.size
    if size > limit:
        raise FrameTooLarge(f"a message of {size} bytes is too large: {limit} are allowed")
    HEADER.pack_into(buffer, 0, size, len(descriptors))
    return bytes(buffer)


def send_some(end: socket.socket, data: memoryview, descriptors: Sequence[int]) -> int:
    """How many bytes the kernel took at once, 0 if none; descriptors go with the first. Raises OSError."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        return end.sendmsg([data], rights)
    except BlockingIOError:
        return 0


class Transport(Generic[In]):
    """One thread receives. Any thread sends: a message leaves whole before the next one begins."""

    def __init__(
        self,
        end: socket.socket,
        decoder: msgspec.msgpack.Decoder[In],
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        end.setblocking(False)
        self._end = end
        self._decoder = decoder
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._arrived: deque[int] = deque()  # descriptors whose frame is not whole yet
        self._sending = threading.Lock()  # guards the order of bytes; held while the socket is full

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Wait until the kernel has all. The descriptors stay open here. Raises OSError, FrameTooLarge."""
        data = memoryview(frame(message, descriptors, self._max_frame_bytes))
        with self._sending:
            while data:
                sent = send_some(self._end, data, descriptors)
                if sent:
                    data, descriptors = data[sent:], ()
                else:
                    wait(self._end, select.POLLOUT, None)

    def receive(self, timeout_seconds: float | None) -> list[Received[In]]:
        """The messages that are whole after at most one read; [] if none is by then.

        Waits for the first byte; None: for ever. Raises EOFError where the other end has gone, OSError,
        and NotAMessage, after which nothing more can be understood.
        """
        return self.read() if wait(self._end, select.POLLIN, timeout_seconds) else []

    def read(self) -> list[Received[In]]:
        """As `receive`, for a socket that is known to be readable. Never waits."""
        try:
            room = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
            data, rights, _, _ = self._end.recvmsg(READ_BYTES, room)
        except BlockingIOError:
            return []
        for level, kind, numbers in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._keep(numbers)
        if not data:
            raise EOFError("in the middle of a message" if self._buffer else "")
        self._buffer += data
        return self._whole_frames()

    def _keep(self, numbers: bytes) -> None:
        arrived = array.array("i")
        arrived.frombytes(numbers[: len(numbers) - len(numbers) % arrived.itemsize])
        for descriptor in arrived:
            os.set_inheritable(descriptor, False)  # an exec from another thread must not carry it on
            self._arrived.append(descriptor)

    def _whole_frames(self) -> list[Received[In]]:
        found: list[Received[In]] = []
        begin = 0
        with memoryview(self._buffer) as data:
            while len(data) - begin >= HEADER.size:
                size, count = HEADER.unpack_from(data, begin)
                if size > self._max_frame_bytes or count > MAX_DESCRIPTORS:
                    raise NotAMessage(f"a frame claims {size} bytes and {count} descriptors")
                end = begin + HEADER.size + size
                if end > len(data):
                    break
                found.append(self._message(data[begin + HEADER.size : end], count))
                begin = end
        del self._buffer[:begin]
        return found

    def _message(self, body: memoryview, count: int) -> Received[In]:
        if count > len(self._arrived):
            raise NotAMessage("a frame came without its descriptors")
        descriptors = Descriptors([self._arrived.popleft() for _ in range(count)])
        try:
            with body:
                return Received(self._decoder.decode(body), descriptors)
        except msgspec.MsgspecError as error:
            raise NotAMessage(str(error)) from None

    def close(self) -> None:
        self._end.close()
        Descriptors(self._arrived).close()
        self._arrived.clear()


def wait(end: socket.socket, events: int, timeout_seconds: float | None) -> bool:
    """Whether the socket is ready for these events of poll, or broken, before the time is over."""
    poll = select.poll()
    poll.register(end, events)
    return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends, closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def end_of(descriptor: int) -> socket.socket:
    """The end that a parent has left open under this number."""
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
