"""Voice activity detection. In: samples at 16 kHz, in pieces. Out: speech probability per 10 ms frame.

Speech comes and goes in many bands at once. So each band's level is measured against the quiet around it:
steady sound (noise, hum, a long tone) is its own quiet, and a pure tone is in too few bands. Music and crowds
are not distinguished from speech: what is lively is left to the model, which can say that nobody speaks.
Numpy alone. tools/bench_vad.py compares it with libraries; docs/speech.md has the figures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # mono, 16 kHz, -1 to 1
Levels = npt.NDArray[np.float32]  # (frames, bands), in dB of full scale

SAMPLE_RATE_HZ = 16_000
FRAME = 160  # samples: 10 ms
FRAMES_A_SECOND = SAMPLE_RATE_HZ // FRAME
_FFT = 512  # samples: 32 ms
_MARGIN = (_FFT - FRAME) // 2  # samples around a frame that its level takes into account
BANDS = 16
_BAND_HZ = (120.0, 6500.0)
_SILENCE_DB = -85.0  # of a band: below the noise of 16-bit samples
_RANGE_DB = 45.0  # so far below the loudest sound in a band is no speech either
_CAP_DB = 20.0  # of what one band says
_SMOOTH = 5  # frames
_QUIET_SHARE = 10  # percent: of each second, what is quietest
_QUIET_SECONDS = 5  # before and after
_HISTORY = 10 * FRAMES_A_SECOND  # frames that are kept to know how quiet it was
_EVEN_DB = 3.0  # mean excess of the bands at which speech is as likely as not
_STEEP_DB = 1.0


class Detector:
    """Speech probabilities of a recording that comes in pieces."""

    def __init__(self) -> None:
        self._rest = np.zeros(_MARGIN, np.float32)  # samples of which no frame begins or ends
        self._levels: Levels = np.zeros((0, BANDS), np.float32)
        self._past = 0  # frames of them that are dropped, but kept as history

    @property
    def frames(self) -> int:
        """Those appended and not dropped."""
        return len(self._levels) - self._past

    def append(self, samples: Samples) -> None:
        self._rest = np.concatenate([self._rest, samples])
        whole = max(0, (len(self._rest) - 2 * _MARGIN) // FRAME) * FRAME
        if whole:
            self._levels = np.concatenate([self._levels, levels(self._rest[: whole + 2 * _MARGIN])])
            self._rest = self._rest[whole:]

    def skip(self, frames: int) -> None:
        """So many frames are missing; some came before.

        They count as what is quietest before them. If they were silence, noise around them would pass for
        speech.
        """
        quiet = _quiet(_smooth(self._levels[-_QUIET_SECONDS * FRAMES_A_SECOND :]))[-1]
        missing = np.broadcast_to(quiet, (frames, BANDS))
        self._levels = np.concatenate([self._levels, missing])

    def end(self) -> None:
        """No more follows: the last frame may be a part of one."""
        left = len(self._rest) - _MARGIN
        self.append(np.zeros(_MARGIN + -left % FRAME, np.float32))

    def probabilities(self) -> npt.NDArray[np.float64]:
        """(frames,), 0 to 1. Those of the last seconds may change with what follows."""
        return probabilities(self._levels)[self._past :]

    def drop(self, frames: int) -> None:
        self._past += frames
        surplus = max(0, self._past - _HISTORY)
        self._levels = self._levels[surplus:]
        self._past -= surplus


def levels(samples: Samples) -> Levels:
    """Each frame's level in every band. (_MARGIN + frames * FRAME + _MARGIN,) -> (frames, bands)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::FRAME]
    window, (starts, end) = _window(), _bins()
    power = np.empty((len(windows), BANDS), np.float32)
    for i in range(0, len(windows), 256):  # keeps the work in the cache
        spectrum = np.fft.rfft(windows[i : i + 256] * window)[:, :end]
        squares = np.square(spectrum.real)
        squares += np.square(spectrum.imag)
        np.add.reduceat(squares, starts, axis=1, out=power[i : i + 256])
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), np.float32)


def probabilities(found: Levels) -> npt.NDArray[np.float64]:
    """(frames, bands) -> (frames,), 0 to 1."""
    if not len(found):
        return np.zeros(0)
    smooth = _smooth(found)
    quiet = np.maximum(_quiet(smooth), np.maximum(_SILENCE_DB, smooth.max(axis=0) - _RANGE_DB))
    excess = np.clip(smooth - quiet, 0, _CAP_DB).mean(axis=1)
    return np.where(excess > 0, 1 / (1 + np.exp((_EVEN_DB - excess) / _STEEP_DB)), 0.0)


def _smooth(found: Levels) -> Levels:
    """The running mean over _SMOOTH frames."""
    padded = np.pad(found, ((_SMOOTH // 2 + 1, _SMOOTH // 2), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0, dtype=np.float64)
    return np.asarray((sums[_SMOOTH:] - sums[:-_SMOOTH]) / _SMOOTH, np.float32)


def _quiet(smooth: Levels) -> Levels:
    """The level of what is quietest in the seconds around each frame, by band."""
    starts = range(0, len(smooth), FRAMES_A_SECOND)
    each = np.array([np.percentile(smooth[i : i + FRAMES_A_SECOND], _QUIET_SHARE, axis=0) for i in starts])
    padded = np.pad(each, ((_QUIET_SECONDS, _QUIET_SECONDS), (0, 0)), mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _QUIET_SECONDS + 1, axis=0)
    return np.asarray(np.repeat(around.min(axis=-1), FRAMES_A_SECOND, axis=0)[: len(smooth)], np.float32)


@lru_cache(maxsize=1)
def _window() -> Samples:
    """Hann's, scaled so that a full-scale sine has 0 dB."""
    hann = np.hanning(_FFT + 1)[:-1]
    return np.asarray(hann * 2 / hann.sum(), np.float32)


@lru_cache(maxsize=1)
def _bins() -> tuple[npt.NDArray[np.intp], int]:
    """Where in the spectrum the bands begin, of equal width on the mel scale, and where the last ends."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in _BAND_HZ)
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 1) / 2595) - 1)
    bins = np.ceil(edges * _FFT / SAMPLE_RATE_HZ).astype(np.intp)
    return bins[:-1], int(bins[-1])
