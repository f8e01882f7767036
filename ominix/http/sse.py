"""Server-sent events: a job's events as a response body that leaves as they arrive."""

from __future__ import annotations

from collections.abc import Callable

from falcon import Response

from ominix.errors import ClientLeft, OminixError
from ominix.http import answers
from ominix.http.listener import Listener
from ominix.wire.events import Event

PING_SECONDS = 15.0  # proxies and clients give up on silent connections after about 30 s
DONE = b"data: [DONE]\n\n"

Render = Callable[[Event], list[bytes]]  # the messages and comments that an event becomes


def message(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def comment(text: str) -> bytes:
    """What clients pass over; it keeps the connection from looking dead."""
    return f": {text}\n\n".encode()


class Body:
    """The response body. A class, since close() must work before the first chunk was asked for."""

    def __init__(self, listener: Listener, render: Render, first: list[Event], last: bytes) -> None:
        self._listener = listener
        self._render = render
        self._pending = first
        self._last = last
        self._over = False

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            events, self._pending = self._pending or self._listener.batch(PING_SECONDS), []
            frames = [frame for event in events for frame in self._render(event)]
        except ClientLeft:
            raise StopIteration from None
        except OminixError as error:
            self._over = True
            return message(answers.json_bytes(answers.body_of(error)[1]))
        if self._listener.ended:
            self._over = True
            frames.append(self._last)
        return b"".join(frames) or comment("ping")

    def close(self) -> None:
        self._listener.close()


def answer(resp: Response, listener: Listener, render: Render, last: bytes = DONE) -> list[Event]:
    """Answer with events. The first is awaited here, so that an early error keeps its status.

    What has come by then is returned: headers may depend on it.
    """
    first: list[Event] = []
    try:
        while not first:
            first = listener.batch(PING_SECONDS)
    except BaseException:
        listener.close()
        raise
    resp.content_type = "text/event-stream; charset=utf-8"
    resp.set_header("Cache-Control", "no-cache")
    resp.set_header("X-Accel-Buffering", "no")
    resp.stream = Body(listener, render, first, last)
    return first
