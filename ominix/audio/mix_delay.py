"""Two channels that hold the same at different times. In: frames of both. Out: which one is enough alone.

The sign is a peak of their cross-correlation that is high, and far higher than where there is no delay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy import fft  # now: it is imported lazily, and a decode child can open no file later

_FRAMES = 5  # are looked at together
_SURE, _UNSURE = 0.8, 0.6  # the peak's height from which it counts, and down to which it goes on to count
_BROAD = 0.01  # of the power, above a quarter of the frequencies: about 1 kHz
_SHARE = 0.6  # of the peak, that may be there without delay


class Delay:
    """For one recording, in its order."""

    def __init__(self) -> None:
        self._alone: int | None = None

    def alone(self, frames: npt.NDArray[np.float64]) -> list[int | None]:
        """For each of the frames, (frames, samples, 2), the channel to hear; None: both."""
        found: list[int | None] = []
        for at in range(0, len(frames), _FRAMES):
            stretch = frames[at : at + _FRAMES]
            self._alone = self._judged(stretch.reshape(-1, 2))
            found += [self._alone] * len(stretch)
        return found

    def _judged(self, both: npt.NDArray[np.float64]) -> int | None:
        left, right = both.T
        powers = np.array([left @ left, right @ right])
        if not powers.all():
            return self._alone
        scale = np.sqrt(powers.prod())
        at_once = abs(left @ right) / scale
        if at_once > _SURE:  # the usual case; nothing to search
            return None
        size = 2 * len(left)
        spectrum = fft.rfft(left, size)
        if not _is_broad(spectrum):
            return None
        product = spectrum * fft.rfft(right, size).conj()
        peak = np.abs(fft.irfft(product, size)).max() / scale
        if peak < (_SURE if self._alone is None else _UNSURE) or at_once > _SHARE * peak:
            return None
        return int(powers.argmax()) if self._alone is None else self._alone


def _is_broad(spectrum: npt.NDArray[np.complex128]) -> bool:
    """More than a low tone, whose delay is nothing but a phase."""
    powers = np.square(np.abs(spectrum))
    return bool(powers[len(powers) // 4 :].sum() > _BROAD * powers.sum())
