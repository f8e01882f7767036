"""Messages between server and worker: commands down, reports up. Jobs and events travel inside them."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ominix.wire.events import Event
from ominix.wire.jobs import Job


class EngineSpec(Struct, frozen=True, array_like=True):
    """What a worker is to load. The module `ominix.engines.<kind>` has `load(spec) -> Engine`."""

    kind: str
    path: str  # the model's folder; "" for engines without one
    slots: int = 1  # jobs that may be aboard at once
    cpu: str = "fast"  # or "plain": cpu/backend.py
    package: str = ""  # under ominix.models: it has the architecture; "": mlx-lm has it
    one_row: bool = False  # sequences of this model are never computed together
    cache_bytes: int | None = None  # the bound for kept caches; None: the engine's own choice
    log_json: bool = False  # lines of its log
    limit_bytes: int | None = None  # resident memory at which the worker ends itself
    max_audio_seconds: float = 6 * 3600.0  # of a recording: the rest is not heard
    stall_seconds: float = 60.0  # a job that makes no progress for longer fails
    raw_prompts: bool = False  # control tokens that clients write in chats are tokens


class Loadable(Struct, frozen=True):
    """What the pool has to know of a model. The pool puts its bounds (slots, limit_bytes) into the spec."""

    id: str
    size_bytes: int  # of its files: what counts as its memory until its worker has reported
    spec: EngineSpec


class Submit(Struct, frozen=True, array_like=True, tag=True):
    job_id: int
    job: Job


class Cancel(Struct, frozen=True, array_like=True, tag=True):
    job_id: int


class Loaded(Struct, frozen=True, array_like=True, tag=True):
    """The engine is there and takes jobs."""

    used_bytes: int = 0  # memory of the process


class Loading(Struct, frozen=True, array_like=True, tag=True):
    """The engine is still being loaded; about once a second."""

    used_bytes: int
    moved_bytes: int  # read or touched so far: it grows as long as the load goes on


class Admitting(Struct, frozen=True, array_like=True, tag=True):
    """The engine is about to take this job in. If the worker dies before it reports again, it died of it."""

    job_id: int


class Beat(Struct, frozen=True, array_like=True, tag=True):
    """The engine goes on (about once a second), or has nothing left to do."""

    used_bytes: int = 0
    stalled_seconds: float = 0.0  # how long one of its jobs has made no progress


class Batch(Struct, frozen=True, array_like=True, tag=True):
    """The events of one step, in order, each with its job's id."""

    events: list[tuple[int, Event]]


class Ending(Struct, frozen=True, array_like=True, tag=True):
    """The worker's last words: why it is about to exit."""

    reason: str


Command = Submit | Cancel
Report = Loading | Loaded | Admitting | Beat | Batch | Ending

COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
REPORTS: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
