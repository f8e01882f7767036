"""Take windows out of a recording for a model that goes through it as a sequence. In: samples. Out: clips.

    surveying ---- the samples have ended ----> playing

surveying  all samples pass once: the model learns what it has to know of the whole (how loud it gets)
playing    they come again, and a window is cut wherever the model has finished the one before

Of a recording of any length a window and its margins are held.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ominix.engines.speech.clips import Clip
from ominix.models.recogniser import SAMPLE_RATE_HZ, Features, Samples, Survey

_GAP_SAMPLES = SAMPLE_RATE_HZ  # of a gap, that are surveyed: more of it changes nothing


class Windows:
    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._length = round(survey.window_seconds * SAMPLE_RATE_HZ)
        self.surveying = True
        self._total = 0  # samples of the recording
        self._whole = False  # no more come
        self._coming: deque[Samples | int] = deque()  # blocks, and lengths of gaps
        self._first = 0  # the place of the first sample that is held
        self._held: Samples = np.zeros(0, np.float32)

    @property
    def total_seconds(self) -> float | None:
        return None if self.surveying else self._total / SAMPLE_RATE_HZ

    def append(self, samples: Samples) -> None:
        if self.surveying:
            self._total += len(samples)
            self._survey.append(samples)
        else:
            self._coming.append(samples)

    def skip(self, seconds: float) -> None:
        """A gap in the recording: silence."""
        samples = round(seconds * SAMPLE_RATE_HZ)
        if self.surveying:
            self._total += samples
            surplus = max(0, samples - _GAP_SAMPLES) // self._survey.hop_samples * self._survey.hop_samples
            self._survey.append(np.zeros(samples - surplus, np.float32))
        else:
            self._coming.append(samples)

    def end(self) -> None:
        """The samples have ended. After the first time they come again."""
        if self.surveying:
            self._survey.end()
            self.surveying = False
        else:
            self._whole = True

    def is_over(self, start_seconds: float) -> bool:
        """Nothing is left to be heard there."""
        return not self.surveying and self._left(round(start_seconds * SAMPLE_RATE_HZ)) <= 0

    def _left(self, start: int) -> int:
        """Samples behind this one that fill whole frames."""
        hop = self._survey.hop_samples
        return (self._total - start) // hop * hop

    def window(self, start_seconds: float) -> tuple[Clip, Features] | None:
        """The one that begins here, not before the last one did; None: its samples have not come yet."""
        start = round(start_seconds * SAMPLE_RATE_HZ)
        length = min(self._length, self._left(start))
        if not self._hold(start - self._survey.margin_samples, start + length + self._survey.margin_samples):
            return None
        begin = start - self._first
        window = self._held[begin : begin + length]
        after = self._held[begin + length : begin + length + self._survey.margin_samples]
        features = self._survey.features(self._held[:begin], window, after)
        return self._clip(start, window), features

    def _hold(self, first: int, last: int) -> bool:
        """These samples, as far as the recording has them; False: some have not come yet."""
        first, last = max(0, first), min(last, self._total)
        self._drop(first - self._first)
        while self._first + len(self._held) < last:
            if not self._coming:
                if not self._whole:
                    return False
                self._coming.append(self._total)  # it was longer the first time
            self._held = np.concatenate([self._held, self._next(last)])
            self._drop(first - self._first)
        return True

    def _next(self, last: int) -> Samples:
        """Some more, of a gap no more than are wanted."""
        found = self._coming.popleft()
        if not isinstance(found, int):
            return found
        count = min(found, last - self._first - len(self._held))
        if found > count:
            self._coming.appendleft(found - count)
        return np.zeros(count, np.float32)

    def _drop(self, count: int) -> None:
        count = max(0, min(count, len(self._held)))
        self._held = self._held[count:]
        self._first += count

    def _clip(self, start: int, samples: Samples) -> Clip:
        """To the recording's very end, if it is the last."""
        is_last = start + len(samples) + self._survey.hop_samples > self._total
        times = start / SAMPLE_RATE_HZ, (self._total if is_last else start + len(samples)) / SAMPLE_RATE_HZ
        return Clip(*times, samples, times, times[0])
