"""A stretch of decoded sound, as the decoders hand it on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


class Piece(NamedTuple):
    samples: Samples  # (samples, channels), full scale at 1
    sample_rate_hz: int
    roles: tuple[str, ...] = ()  # of the channels, as FFmpeg names them (FL, FR, FC, LFE ...); (): unknown
    start: float | None = None  # its time stamp in seconds, by the clock of its file

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate_hz


class Gap(NamedTuple):
    """Nothing was recorded here, or it is lost."""

    seconds: float
