"""The door to the text engine: what has to happen before mlx is imported, happens here."""

from __future__ import annotations

import logging
from pathlib import Path

from ominix.cpu import backend
from ominix.engines.engine import Engine
from ominix.wire.control import EngineSpec

log = logging.getLogger("ominix.chat")


def load(spec: EngineSpec) -> Engine:
    """Raises Unavailable for a folder that holds no model that can be served."""
    found = backend.prepare_engine(log, spec.cpu)
    from ominix.engines.text import text_engine  # brings mlx, which must find the backend prepared

    return text_engine.load(
        Path(spec.path),
        found,
        spec.cache_bytes,
        spec.package,
        one_row=spec.one_row,
        raw_prompts=spec.raw_prompts,
    )
