"""Engines for transcription jobs. Makes the backend ready before anything imports mlx."""

from __future__ import annotations

import logging

from ominix.cpu import backend
from ominix.engines.engine import Engine
from ominix.wire.control import EngineSpec

log = logging.getLogger("ominix.speech")


def load(spec: EngineSpec) -> Engine:
    """Raises ValueError for a folder that holds no speech model, or a broken one."""
    found = backend.prepare_engine(log, spec.cpu)
    from ominix.engines.speech import loading  # brings mlx, which must find the backend prepared

    return loading.load(spec, found)
