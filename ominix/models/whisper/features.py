"""Samples to what Whisper's encoder reads. In: mono samples at 16 kHz. Out: log-mel frames, 100 a second.

As openai-whisper does it: behind the end of the samples lies silence, and a window that is not full is
filled with 0.0 in the *frames*, not in the samples (transformers fills the samples, so that its tail holds
the floor).
"""

from __future__ import annotations

import math

import numpy as np

from ominix.models import log_mel
from ominix.models.log_mel import Mel, Samples

FRAMES_PER_SECOND = log_mel.SAMPLE_RATE_HZ // log_mel.HOP


def kind(bands: int) -> str:
    """What tells these features from other models'."""
    return f"log-mel, {bands} bands, Whisper's"


def features(samples: Samples, bands: int) -> Mel:
    """(N,) samples of a clip or a whole file -> (N // 160, bands). The floor follows their maximum."""
    silence = np.zeros(log_mel.FFT, np.float32)  # no frame that counts sees what the far edge reflects
    return log_mel.log_mel(np.concatenate([samples, silence]), bands)[: len(samples) // log_mel.HOP]


class Survey:
    """A recording whose windows are heard one by one: their floor follows the maximum of the whole of it.

    So openai-whisper has it, which makes one spectrogram of a file. Here all samples come twice: first to
    find the maximum, then a window at a time, so that little of a long recording is held.
    """

    hop_samples = log_mel.HOP  # a window begins at a multiple of it
    margin_samples = log_mel.FFT // 2  # beside a window, that its first and last frames see

    def __init__(self, bands: int, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self._bands = bands
        self._loudest = -math.inf
        self._rest: Samples = np.zeros(0, np.float32)  # not in a frame yet, or in the next one, too
        self._has_begun = False

    def append(self, samples: Samples) -> None:
        self._rest = np.concatenate([self._rest, samples])
        if not self._has_begun:
            if len(self._rest) <= self.margin_samples:
                return
            self._rest = _reflected(self._rest)
            self._has_begun = True
        count = (len(self._rest) - log_mel.FFT) // log_mel.HOP + 1
        if count > 0:
            self._loudest = max(self._loudest, float(log_mel.log_powers(self._rest, self._bands).max()))
            self._rest = self._rest[count * log_mel.HOP :]

    def end(self) -> None:
        """All samples have come once."""
        self.append(np.zeros(log_mel.FFT, np.float32))

    def features(self, before: Samples, samples: Samples, after: Samples) -> Mel:
        """(N // 160, bands) of a window's samples; before the first of the recording there is nothing."""
        around = np.concatenate([before, samples, after, np.zeros(log_mel.FFT, np.float32)])
        if not len(before):
            around = _reflected(around)
        count = len(samples) // log_mel.HOP
        mel = log_mel.log_powers(around[: (count - 1) * log_mel.HOP + log_mel.FFT], self._bands)
        return log_mel.scaled(mel, self._loudest)


def _reflected(samples: Samples) -> Samples:
    """With what the first frames see before the recording begins."""
    return np.pad(samples, (log_mel.FFT // 2, 0), mode="reflect")


def window(mel: Mel, frames: int) -> Mel:
    """(T, bands) -> (frames, bands): cut, or filled up with 0.0."""
    kept = mel[:frames]
    return np.pad(kept, ((0, frames - len(kept)), (0, 0)))
