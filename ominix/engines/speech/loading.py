"""Build the speech engine for the model in a folder."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import mlx.nn as nn

from ominix.audio.decoder import Decoder
from ominix.cpu import door
from ominix.cpu.backend import Backend
from ominix.engines import memory
from ominix.engines.speech.reader import ReadingThread
from ominix.engines.speech.scheduler import Scheduler
from ominix.engines.speech.stages.words import WordsLoader
from ominix.models import claims, recogniser
from ominix.wire.control import EngineSpec

log = logging.getLogger("ominix.speech")

_ROWS_AT_LEAST = 4  # the clips of one long recording are answered side by side, too


def load(spec: EngineSpec, backend: Backend) -> Scheduler:
    """Raises ValueError for a folder that holds no model that can transcribe, or a broken one."""
    decoder = partial(Decoder, max_seconds=spec.max_audio_seconds)
    reading = ReadingThread(decoder)  # first, so that its decode child starts while the model is read
    prepare_model = partial(prepare, backend=backend)
    claims.check(Path(spec.path))
    model = recogniser.load(spec.package, Path(spec.path), prepare_model)
    rows = memory.running_bytes() // model.row_bytes
    own = {spec.path: model.aligner} if model.aligner else {}
    words = WordsLoader(prepare_model, model.features_kind, own)
    wanted = max(spec.slots, _ROWS_AT_LEAST)
    return Scheduler(model, max(1, min(rows, wanted)), {"words": words.open}, reading)


def prepare(model: nn.Module, backend: Backend) -> None:
    """Convert weights to float32 on a CPU if memory allows, then evaluate them."""
    door.settle(model, backend, partial(memory.holds_float32, log=log))
