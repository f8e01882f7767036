"""A recording cut into clips, in its pauses; where nobody speaks there is nothing to hear.

Samples in, clips out; numpy alone. What is speech `voice` says, what is a pause `turns`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ominix.engines.speech import turns
from ominix.engines.speech.turns import LONG_PAUSE, Marks, Span
from ominix.engines.speech.vad import FRAME, FRAMES_A_SECOND, SAMPLE_RATE_HZ, Ear, Samples
from ominix.wire.jobs import Cutting

MAX_SECONDS = 30.0  # of speech in a clip: the recogniser's training data are hardly longer
_LONGEST = int(MAX_SECONDS * FRAMES_A_SECOND)
_AHEAD = 5 * FRAMES_A_SECOND  # frames looked at beyond that
_LEAD = FRAMES_A_SECOND  # of a silence that stays with the speech behind it
_TAIL = 30  # frames that are heard after the speech: last sounds fade
_MIN_SECONDS = 5.0  # of a clip that must be cut while somebody speaks
_LULL = 30  # frames: a lull of 0.3 s is as good as a longer one
_HASTE_DB = 0.5  # what a cut a second earlier must be quieter, to be worth it
_SILENCE_DB = -80.0


@dataclass(frozen=True)
class Clip:
    """A stretch of the recording; the next one begins where it ends. Times in seconds."""

    start: float
    end: float
    samples: Samples  # its speech, with a margin
    sound: tuple[float, float] | None  # where the speech begins and ends; None: nobody speaks
    heard_from: float  # the time of the first sample

    @property
    def heard_until(self) -> float:
        return self.heard_from + len(self.samples) / SAMPLE_RATE_HZ


def clips(blocks: Iterable[Samples], cutting: Cutting | None = None) -> Iterator[Clip]:
    """Clips that tile the recording, with at most 30 s of speech each. Holds little more than that."""
    chunker = _Chunker(cutting or Cutting())
    for block in blocks:
        chunker.feed(block)
        yield from chunker.ready()
    yield from chunker.rest()


class _Chunker:
    """The end of a recording, as far as it is in no clip yet. Its frames count from there."""

    def __init__(self, cutting: Cutting) -> None:
        self._cutting = cutting
        self._position = 0  # samples in clips
        self._kept = np.zeros(0, np.float32)
        self._ear = Ear()

    def feed(self, block: Samples) -> None:
        self._kept = np.concatenate([self._kept, block])
        self._ear.hear(block)

    def ready(self) -> Iterator[Clip]:
        """The clips that are certain by now."""
        if len(self._kept) < (_LONGEST + _AHEAD) * FRAME:
            return
        frames = self._ear.frames
        sounds = self._sounds()
        is_open = bool(sounds) and frames - sounds[-1][1] < LONG_PAUSE
        opened = sounds.pop()[0] if is_open else frames
        yield from self._given(sounds, opened)

    def rest(self) -> Iterator[Clip]:
        """The clips up to the end."""
        self._ear.end()
        yield from self._given(self._sounds(), self._ear.frames, whole=True)

    def _sounds(self) -> list[Span]:
        """The speech of one clip each: turns, and parts of turns that are too long."""
        speech = turns.marks(self._ear.chances(), self._cutting.threshold)
        return [part for turn in turns.turns(speech, self._cutting) for part in self._parts(turn, speech)]

    def _parts(self, turn: Span, speech: Marks) -> Iterator[Span]:
        start, end = turn
        while end - start > _LONGEST:
            cut = start + quietest(self._kept[start * FRAME : (start + _LONGEST) * FRAME]) // FRAME
            spoken = start + np.flatnonzero(speech[start:cut])
            yield start, int(spoken[-1]) + 1
            start = cut + int(np.argmax(speech[cut:end]))
        yield start, end

    def _given(self, sounds: list[Span], opened: int, *, whole: bool = False) -> Iterator[Clip]:
        """Clips of these, and of the silence before `opened`, where the next begins or all ends."""
        taken = 0
        for i, sound in enumerate(sounds):
            following = sounds[i + 1][0] if i + 1 < len(sounds) else opened
            if sound[0] - taken > _AHEAD:
                yield self._clip(taken, sound[0] - _LEAD, None)
                taken = sound[0] - _LEAD
            border = self._border(sound[1], following, at_end=whole and following == opened)
            yield self._clip(taken, border, sound)
            taken = border
        if whole and taken < opened:
            yield self._clip(taken, opened, None)
        elif opened - taken > _AHEAD:
            yield self._clip(taken, opened - _LEAD, None)
            taken = opened - _LEAD
        self._kept = self._kept[taken * FRAME :]
        self._position += taken * FRAME
        self._ear.forget(taken)

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
        heard = max(begin, (sound[0] - margin) * FRAME)
        samples = self._kept[heard : min(stop, (sound[1] + _TAIL) * FRAME)]
        times = self._time(sound[0] * FRAME), min(end, self._time(sound[1] * FRAME))
        return Clip(start, end, samples, times, self._time(heard))

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
