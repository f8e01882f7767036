"""Engines for transcription jobs. Makes the backend ready before anything imports mlx."""

from __future__ import annotations

import logging

from ominix.engines import backend
from ominix.engines.engine import Engine
from ominix.jobs import EngineSpec

log = logging.getLogger("ominix.speech")


def load(spec: EngineSpec) -> Engine:
    """Raises ValueError for a folder that holds no speech model, or a broken one."""
    found = backend.prepare()
    log.info("computing on %s, products by %s", found.kind, found.blas or "mlx itself")
    if found.advice:
        log.warning("this is slow: %s", found.advice)
    from ominix.engines.speech import transcriber  # brings mlx, which must find the backend prepared

    return transcriber.load(spec, found)
