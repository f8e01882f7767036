"""Cut a recording into clips at its pauses. In: blocks of samples at 16 kHz. Out: clips that tile it.

A clip holds the samples of at most so many seconds of speech, with a margin, or none where nobody speaks.
`vad` says what may be speech, `judge` whether it is a voice, `utterances` what is a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ominix.engines.speech import utterances
from ominix.engines.speech.judge import Judge
from ominix.engines.speech.utterances import LONG_PAUSE, Mask, Span
from ominix.engines.speech.vad import FRAME, FRAMES_A_SECOND, SAMPLE_RATE_HZ, Detector, Samples
from ominix.wire.jobs import Cutting

_AHEAD = 5 * FRAMES_A_SECOND  # frames looked at beyond that
_LEAD = FRAMES_A_SECOND  # of a silence that stays with the speech behind it
_TAIL = 30  # frames of a clip after its speech: last sounds fade
_MIN_SECONDS = 5.0  # of a clip that must be cut while somebody speaks
_LULL = 30  # frames: a lull of 0.3 s is as good as a longer one
_HASTE_DB = 0.5  # what a cut a second earlier must be quieter, to be worth it
_SILENCE_DB = -80.0


class Channel(NamedTuple):
    number: int  # from 0 on
    name: str


@dataclass(frozen=True)
class Clip:
    """A stretch of the recording; the next one begins where it ends. Times in seconds."""

    start: float
    end: float
    samples: Samples  # its speech, with a margin
    sound: tuple[float, float] | None  # where the speech begins and ends; None: nobody speaks
    samples_start: float  # the time of the first sample
    channel: Channel | None = None  # where each is transcribed by itself

    @property
    def samples_end(self) -> float:
        return self.samples_start + len(self.samples) / SAMPLE_RATE_HZ


class Cutter:
    """The end of a recording, as far as it is in no clip yet. Its frames count from there.

    Holds little more of the recording than `max_seconds`: of speech in a clip.
    """

    def __init__(self, cutting: Cutting, max_seconds: float, judge: Callable[[float], Judge]) -> None:
        """`judge` makes one, of the threshold."""
        self._cutting = cutting
        self._longest = int(max_seconds * FRAMES_A_SECOND)
        self._position = 0  # samples in clips
        self._kept = np.zeros(0, np.float32)
        self._detector = Detector()
        self._new_judge = judge
        self._judge = judge(cutting.threshold)

    @property
    def position_seconds(self) -> float:
        """Where the next clip begins."""
        return self._time(0)

    def append(self, block: Samples) -> None:
        self._kept = np.concatenate([self._kept, block])
        self._detector.append(block)
        self._judge.append(block)

    def skipped(self, seconds: float) -> Iterator[Clip]:
        """Go on after a gap in the recording. The clips that are certain by it."""
        samples = round(seconds * SAMPLE_RATE_HZ)
        if samples >= LONG_PAUSE * FRAME or not self._detector.frames:
            yield from self._after_gap(samples)
            return
        frames, rest = divmod(samples, FRAME)
        self.append(np.zeros(rest, np.float32))
        self._kept = np.concatenate([self._kept, np.zeros(frames * FRAME, np.float32)])
        self._detector.skip(frames)
        self._judge.append(np.zeros(frames * FRAME, np.float32))
        yield from self.ready()

    def _after_gap(self, samples: int) -> Iterator[Clip]:
        """Nothing is held of a long gap: who speaks before it has ended."""
        end = self._position + len(self._kept)
        yield from self.rest()
        self._position, self._kept = end + samples, np.zeros(0, np.float32)
        self._detector, self._judge = Detector(), self._new_judge(self._cutting.threshold)
        yield Clip(end / SAMPLE_RATE_HZ, self._time(0), self._kept, None, end / SAMPLE_RATE_HZ)

    def ready(self) -> Iterator[Clip]:
        """The clips that are certain by now."""
        if len(self._kept) < (self._longest + _AHEAD) * FRAME:
            return
        frames = self._detector.frames
        sounds = self._sounds()
        is_open = bool(sounds) and frames - sounds[-1][1] < LONG_PAUSE
        opened = sounds.pop()[0] if is_open else frames
        yield from self._tiles(sounds, opened)

    def rest(self) -> Iterator[Clip]:
        """The clips up to the end."""
        self._detector.end()
        self._judge.end()
        yield from self._tiles(self._sounds(), self._detector.frames, whole=True)

    def _sounds(self) -> list[Span]:
        """The speech of one clip each: utterances, and parts of those that are too long."""
        speech = utterances.speech_mask(self._detector.probabilities(), self._cutting.threshold)
        speech &= self._judge.mask(len(speech))
        return [
            part
            for utterance in utterances.utterances(speech, self._cutting)
            for part in self._parts(utterance, speech)
        ]

    def _parts(self, utterance: Span, speech: Mask) -> Iterator[Span]:
        start, end = utterance
        while end - start > self._longest:
            cut = start + quietest(self._kept[start * FRAME : (start + self._longest) * FRAME]) // FRAME
            spoken = start + np.flatnonzero(speech[start:cut])
            yield start, int(spoken[-1]) + 1
            start = cut + int(np.argmax(speech[cut:end]))
        yield start, end

    def _tiles(self, sounds: list[Span], opened: int, *, whole: bool = False) -> Iterator[Clip]:
        """Clips of these, and of the silence before `opened`, where the next begins or all ends."""
        done = 0
        for i, sound in enumerate(sounds):
            following = sounds[i + 1][0] if i + 1 < len(sounds) else opened
            if sound[0] - done > _AHEAD:
                yield self._clip(done, sound[0] - _LEAD, None)
                done = sound[0] - _LEAD
            border = self._border(sound[1], following, at_end=whole and following == opened)
            yield self._clip(done, border, sound)
            done = border
        if whole and done < opened:
            yield self._clip(done, opened, None)
        elif opened - done > _AHEAD:
            yield self._clip(done, opened - _LEAD, None)
            done = opened - _LEAD
        self._kept = self._kept[done * FRAME :]
        self._position += done * FRAME
        self._detector.drop(done)
        self._judge.drop(done)

    @staticmethod
    def _border(end: int, following: int, *, at_end: bool) -> int:
        """In the middle of the pause, unless it is long."""
        return following if at_end and following - end < _AHEAD else min((end + following) // 2, end + _LEAD)

    def _clip(self, first: int, last: int, sound: Span | None) -> Clip:
        begin, stop = first * FRAME, min(last * FRAME, len(self._kept))
        start, end = self._time(begin), self._time(stop)
        if sound is None:
            return Clip(start, end, self._kept[:0], None, start)
        margin = round(self._cutting.padding_seconds * FRAMES_A_SECOND)
        first_sample = max(begin, (sound[0] - margin) * FRAME)
        samples = self._kept[first_sample : min(stop, (sound[1] + _TAIL) * FRAME)]
        times = self._time(sound[0] * FRAME), min(end, self._time(sound[1] * FRAME))
        return Clip(start, end, samples, times, self._time(first_sample))

    def _time(self, sample: int) -> float:
        return (self._position + sample) / SAMPLE_RATE_HZ


def quietest(samples: Samples) -> int:
    """The sample at which to cut: in the middle of a lull, late rather than early."""
    levels = np.maximum(_levels_db(samples), _SILENCE_DB)
    smooth = np.convolve(levels, np.full(_LULL, 1 / _LULL), mode="valid")  # [i]: frames i to i + 29
    middles = np.arange(len(smooth)) + _LULL // 2
    seconds = middles * FRAME / SAMPLE_RATE_HZ
    cost = smooth - _HASTE_DB * seconds
    cost[seconds < _MIN_SECONDS] = np.inf
    return int(middles[np.argmin(cost)]) * FRAME


def _levels_db(samples: Samples) -> npt.NDArray[np.float64]:
    """The level of each 10 ms without its offset, in dB of full scale."""
    padded = np.pad(samples, (0, -len(samples) % FRAME), mode="edge").reshape(-1, FRAME)
    deviations = np.std(padded, axis=1, dtype=np.float64)
    return np.asarray(20 * np.log10(np.maximum(deviations, 1e-12)))
