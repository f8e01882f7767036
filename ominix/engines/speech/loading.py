"""Weights made ready to compute with."""

from __future__ import annotations

import logging

import mlx.core as mx
from mlx_lm.utils import get_total_parameters

from ominix.engines import memory
from ominix.engines.backend import Backend
from ominix.models.qwen3_asr import weights
from ominix.models.qwen3_asr.model import Model

log = logging.getLogger("ominix.speech")

_WEIGHTS_SHARE = 0.7  # of the free memory


def settle(model: Model, backend: Backend) -> None:
    """Reads the weights, as float32 where a CPU wants it and memory allows it."""
    needed = 4 * get_total_parameters(model)
    if backend.wants_float32 and needed > memory.free_bytes() * _WEIGHTS_SHARE:
        log.warning("weights stay as they are, which is slow: as float32 they take %d MiB", needed >> 20)
    elif backend.wants_float32:
        weights.make_dense(model)
    mx.eval(model.parameters())
