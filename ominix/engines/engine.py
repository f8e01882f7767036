"""What an engine is: commands in, events out, no I/O but its model's files.

Each module of `ominix.engines` that serves a kind of task has `load(spec) -> Engine`. The worker's main
thread alone calls an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ominix.wire.events import Event
from ominix.wire.jobs import Job


class Engine(Protocol):
    @property
    def idle(self) -> bool:
        """Nothing to do until the next admit."""
        ...

    def admit(self, job_id: int, job: Job) -> None:
        """Admit a job; its descriptors are the engine's to close from now on.

        Raises JobRefused for what cannot be served as it is; the descriptors are the caller's then.
        """
        ...

    def cancel(self, job_id: int) -> None:
        """Forget a job; unknown ids are ignored. No event follows."""
        ...

    def step(self) -> list[tuple[int, Event]]:
        """One bounded piece of work: a cancel waits no longer than this. Events with their job's id."""
        ...

    def progress(self) -> Mapping[int, int]:
        """By job that is being worked on: a number that changes with each piece of work that is done for it.

        Jobs that wait for their turn are not in it.
        """
        ...
