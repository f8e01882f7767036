"""What a worker says besides its jobs' events, and what it is told besides jobs."""

from __future__ import annotations

from dataclasses import dataclass

from ominix.jobs import Event, Job


@dataclass(frozen=True)
class Submit:
    job_id: int
    job: Job


@dataclass(frozen=True)
class Cancel:
    job_id: int


@dataclass(frozen=True)
class Loaded:
    """The engine is there and takes jobs."""

    used_bytes: int = 0  # memory of the process


@dataclass(frozen=True)
class Beat:
    """The engine goes on, told of about once a second, or has nothing left to do."""

    used_bytes: int = 0


@dataclass(frozen=True)
class Batch:
    """The events of one step, in order, each with its job's id."""

    events: list[tuple[int, Event]]


@dataclass(frozen=True)
class Ending:
    """The worker's last words: why it is about to exit."""

    reason: str


Command = Submit | Cancel
Report = Loaded | Beat | Batch | Ending
