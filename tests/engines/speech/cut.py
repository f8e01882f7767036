"""Recordings cut into clips as the reader does it, without its thread and its children."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ominix.engines.speech.clips import Clip, Cutter
from ominix.models.recogniser import Samples
from ominix.wire.jobs import Cutting


def clips_of(blocks: Iterable[Samples], cutting: Cutting, max_seconds: float) -> Iterator[Clip]:
    cutter = Cutter(cutting, max_seconds)
    for block in blocks:
        cutter.append(block)
        yield from cutter.ready()
    yield from cutter.rest()
