"""Where a long recording may be cut, and where nothing is to be heard. Samples in, clips out; numpy alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # mono, 16 kHz, -1 to 1

SAMPLE_RATE_HZ = 16_000
MAX_SECONDS = 30.0  # of a clip: the recogniser's training data are hardly longer
_MIN_SECONDS = 5.0
_FRAME = 160  # samples: 10 ms
# Below this a frame is silent. Samples of 16 bits then differ by at most three steps: the noise of a
# converter or of dithering, too coarse for words. Offsets do not count.
SILENCE_DB = -80.0
_RANGE_DB = 40.0  # so far below the loudest frame of a clip is no speech either
_PAUSE = 30  # frames: a pause of 0.3 s is as good as a longer one
_HASTE_DB = 0.5  # what a cut a second earlier must be quieter, to be worth it


@dataclass(frozen=True)
class Clip:
    """A stretch of the recording; the next one begins where it ends. Times in seconds."""

    start: float
    end: float
    samples: Samples
    sound: tuple[float, float] | None  # where its sound begins and ends; None: silent throughout


def clips(blocks: Iterable[Samples]) -> Iterator[Clip]:
    """Clips of at most 30 s, cut in the quietest places. Holds no more than one clip and one block."""
    kept = np.zeros(0, np.float32)
    position = 0  # samples already given away
    longest = int(MAX_SECONDS * SAMPLE_RATE_HZ)
    for block in blocks:
        kept = np.concatenate([kept, block])
        while len(kept) > longest:
            cut = quietest(kept[:longest])
            yield _clip(position, kept[:cut])
            position, kept = position + cut, kept[cut:]
    if len(kept):
        yield _clip(position, kept)


def quietest(samples: Samples) -> int:
    """The sample at which to cut: in the middle of a pause, late rather than early."""
    levels = np.maximum(levels_db(samples), SILENCE_DB)
    smooth = np.convolve(levels, np.full(_PAUSE, 1 / _PAUSE), mode="valid")  # [i]: frames i to i + 29
    middles = np.arange(len(smooth)) + _PAUSE // 2
    seconds = middles * _FRAME / SAMPLE_RATE_HZ
    cost = smooth - _HASTE_DB * seconds
    cost[seconds < _MIN_SECONDS] = np.inf
    return int(middles[np.argmin(cost)]) * _FRAME


def levels_db(samples: Samples) -> npt.NDArray[np.float64]:
    """The level of each 10 ms without its offset, in dB of full scale."""
    padded = np.pad(samples, (0, -len(samples) % _FRAME), mode="edge").reshape(-1, _FRAME)
    deviations = np.std(padded, axis=1, dtype=np.float64)
    return np.asarray(20 * np.log10(np.maximum(deviations, 1e-12)))


def _clip(position: int, samples: Samples) -> Clip:
    start = position / SAMPLE_RATE_HZ
    end = (position + len(samples)) / SAMPLE_RATE_HZ
    levels = levels_db(samples)
    loud = np.flatnonzero(levels > max(SILENCE_DB, levels.max() - _RANGE_DB))
    if not len(loud):
        return Clip(start, end, samples, None)
    step = _FRAME / SAMPLE_RATE_HZ
    first, last = int(loud[0]), int(loud[-1])
    return Clip(start, end, samples, (start + first * step, min(end, start + (last + 1) * step)))
