"""Engines for transcription jobs. Makes the backend ready before anything imports mlx."""

from __future__ import annotations

from ominix.engines import backend
from ominix.engines.engine import Engine
from ominix.jobs import EngineSpec


def load(spec: EngineSpec) -> Engine:
    """Raises ValueError for a folder that holds no speech model, or a broken one."""
    ready = backend.prepare()
    from ominix.engines import transcriber

    return transcriber.load(spec, ready)
