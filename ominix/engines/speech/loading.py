"""Weights made ready to compute with."""

from __future__ import annotations

import logging

import mlx.core as mx

from ominix.cpu import dense
from ominix.cpu.backend import Backend
from ominix.engines import memory
from ominix.models.qwen3_asr.model import Model

log = logging.getLogger("ominix.speech")


def settle(model: Model, backend: Backend) -> None:
    """Reads the weights, as float32 where a CPU wants it and memory allows it."""
    if backend.wants_float32 and memory.holds_float32(model, log):
        dense.make(model)
    mx.eval(model.parameters())
