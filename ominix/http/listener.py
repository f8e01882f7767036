"""A job in the name of its client, and its events, watched from the HTTP side.

A client that leaves cancels its job.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from falcon import Request
from msgspec import structs

from ominix.errors import ClientLeft
from ominix.http import access
from ominix.wire.control import Loadable
from ominix.wire.events import Event
from ominix.wire.jobs import Job
from ominix.workers.pool import Pool
from ominix.workers.stream import Stream

POLL_SECONDS = 0.1  # how often a waiting request looks whether its client is still there


def is_gone(req: Request) -> bool:
    """Whether the client has hung up."""
    return bool(req.env.get("waitress.client_disconnected", lambda: False)())


class Listener:
    """Iterate for every event, or take batches with a bound on silence. Close it in any case."""

    def __init__(self, req: Request, stream: Stream) -> None:
        self._req = req
        self._entry = access.entry(req)
        self._stream = stream

    def batch(self, silence_seconds: float) -> list[Event]:
        """The events there are, waiting for the first; [] after so much silence. Raises the job's error."""
        deadline = time.monotonic() + silence_seconds
        while True:
            events = self._stream.get(POLL_SECONDS)
            if is_gone(self._req):
                self.close()
                raise ClientLeft("the client has closed the connection")
            if events:
                self._entry.first_event()
                return events
            if time.monotonic() > deadline:
                return []

    @property
    def ended(self) -> bool:
        return self._stream.ended

    def __iter__(self) -> Iterator[Event]:
        try:
            while not self.ended:
                yield from self.batch(silence_seconds=3600.0)
        finally:
            self.close()

    def close(self) -> None:
        self._stream.close()


def submit(req: Request, pool: Pool, model: Loadable, job: Job) -> Listener:
    """Raises what the pool raises."""
    access.entry(req).submitted(model.id)
    return Listener(req, pool.submit(model, structs.replace(job, caller=access.rights(req).caller)))
