"""Tell voices from other lively sounds. In: samples at 16 kHz, in pieces. Out: a mask of 10 ms frames.

`vad` finds every sound that comes and goes: speech, but music, hens and traffic too, and models make words of
those. This is the second opinion: a network that knows voices, taken generously. Where it is sure of one, all
around it that it finds possible is kept, and a margin: breath, first sounds, fading ends. Pauses stay vad's.
docs/speech.md has the figures.
"""

from __future__ import annotations

import numpy as np

from ominix.engines.speech.utterances import Mask, spans
from ominix.engines.speech.vad import FRAME, SAMPLE_RATE_HZ, Samples
from ominix.models.voice_activity.network import CHUNK, Floats, Network

# Of the threshold: 0.25 by default. Utterances of real speech reach 0.7, rock music 0.1, an empty room 0.19.
_SURE = 0.5
_POSSIBLE = 0.06  # of the threshold
_SMOOTH = 5  # chunks: 0.16 s, a short syllable
_MARGIN = 30  # chunks kept around a voice: 0.96 s
_SILENT = 1e-4  # peak of a chunk: -80 dB
_SETTLED = 31  # silent chunks, a second, after which the network hears nothing new in silence
_HISTORY = 10 * SAMPLE_RATE_HZ // CHUNK  # chunks that are kept of what was dropped


class Judge:
    """Which frames of a recording may be a voice's. They count from the last dropped one, as vad's do."""

    def __init__(self, threshold: float) -> None:
        """`threshold`, 0 to 1: lower, and more sounds pass; at 0 all do."""
        self._sure, self._possible = _SURE * threshold, _POSSIBLE * threshold
        self._network = Network()
        self._rest: Samples = np.zeros(0, np.float32)  # less than a chunk
        self._found: Floats = np.zeros(0, np.float32)  # (chunks,)
        self._silent = 0  # chunks in a row at the end
        self._past = 0  # samples of them that are dropped

    def append(self, samples: Samples) -> None:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // CHUNK * CHUNK
        self._rest = samples[whole:]
        self._found = np.concatenate([self._found, self._probabilities(samples[:whole].reshape(-1, CHUNK))])

    def _probabilities(self, chunks: Samples) -> Floats:
        """(chunks, CHUNK) -> (chunks,). Silence costs nothing: the network hears the first second of it."""
        found = np.zeros(len(chunks), np.float32)
        if self._sure == 0 or not len(chunks):
            return found
        numbers = np.arange(len(chunks))
        sounds = np.abs(chunks).max(axis=1) >= _SILENT
        last_sound = np.maximum.accumulate(np.where(sounds, numbers, -1 - self._silent))
        in_a_row = numbers - last_sound  # silent chunks up to each one
        heard = in_a_row <= _SETTLED
        found[heard] = self._network.probabilities(chunks[heard].reshape(-1))
        self._silent = int(in_a_row[-1])
        return found

    def end(self) -> None:
        """No more follows: the last chunk may be a part of one."""
        self.append(np.zeros(-len(self._rest) % CHUNK, np.float32))

    def mask(self, frames: int) -> Mask:
        """(frames,). Those of which the network has not seen all samples yet count as a voice."""
        voices = self._voices()
        chunks = (self._past + np.arange(frames) * FRAME) // CHUNK
        seen = chunks < len(voices)
        mask = np.ones(frames, np.bool_)
        mask[seen] = voices[chunks[seen]]
        return mask

    def _voices(self) -> Mask:
        """(chunks,)"""
        if not len(self._found):
            return np.zeros(0, np.bool_)
        smooth = np.convolve(np.pad(self._found, _SMOOTH // 2), np.full(_SMOOTH, 1 / _SMOOTH), mode="valid")
        voices = np.zeros(len(smooth), np.bool_)
        for start, end in spans(smooth >= self._possible):
            if smooth[start:end].max() >= self._sure:
                voices[max(0, start - _MARGIN) : end + _MARGIN] = True
        return voices

    def drop(self, frames: int) -> None:
        self._past += frames * FRAME
        surplus = max(0, self._past // CHUNK - _HISTORY)
        self._found = self._found[surplus:]
        self._past -= surplus * CHUNK
