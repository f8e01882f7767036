"""Channels to one: by their roles, with a phase check. In: pieces of sound. Out: mono samples at their rate.

The centre, where films have their voices, counts in full; the others less, as in ITU-R BS.775 but lower by
3 dB, because what they have in common adds up; the LFE channel has no speech. Without a centre the weights
are divided by their sum: so dual mono keeps its level, and a channel that never sounds costs none. A sum
beyond full scale is turned down, not clipped.

Three things make a plain sum wrong, and are looked at ten times a second, on the covariances of the channels:

    opposite phase   one channel is another one upside down: in the sum both are gone. It is turned round.
    delay            both hold the same at different times: the sum has holes in its spectrum. One is enough.
    silence          a channel that has not sounded for ten seconds is left out.

A voice may stand against noise that is in phase, and pauses hold nothing but noise: so what is decided stays
until the opposite is clear, and quiet stretches decide nothing. Weights change in ramps, without clicks.
Knows no files.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ominix.audio import mix_delay
from ominix.audio.piece import Piece, Samples

Floats = npt.NDArray[np.float64]

_CENTRE, _FRONT, _AROUND = 1.0, 0.5, 0.35
_WEIGHTS = {
    **dict.fromkeys(("FC",), _CENTRE),
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR"), _FRONT),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}  # by FFmpeg's names; all others are around or above the listener
_BY_COUNT = {  # where nobody says which is which: FFmpeg's usual order, but no channel is left out
    3: (_FRONT, _FRONT, _CENTRE),
    5: (_FRONT, _FRONT, _CENTRE, _AROUND, _AROUND),
    6: (_FRONT, _FRONT, _CENTRE, _AROUND, _AROUND, _AROUND),
    8: (_FRONT, _FRONT, _CENTRE, *[_AROUND] * 5),
}
_OMNIDIRECTIONAL = "AMBI0"  # of Ambisonics: what a microphone without direction hears

_FRAME_SECONDS = 0.1
_ANALYSIS_HZ = 8_000  # about; speech is below 4 kHz
_AROUND_FRAMES = 2  # on each side are looked at together
_TURNED, _RIGHT = 0.6, 1.4  # power of a sum over the sum of powers: 0 opposite, 1 unrelated, 2 the same
_QUIET = 1e-4  # of the loudest lately, in power: a pause
_SILENT = 1e-5  # of the loudest channel at that time, in power
_FADING = 0.5**0.01  # of what was loud, per frame: half in ten seconds
_SILENT_FRAMES = 100


def weights(roles: tuple[str, ...], channels: int) -> Floats:
    """What each channel counts. `roles`: FFmpeg's names of them; none if nobody knows."""
    if _OMNIDIRECTIONAL in roles:
        return np.array([float(role == _OMNIDIRECTIONAL) for role in roles])
    found = np.array(
        [_WEIGHTS.get(role, _AROUND) for role in roles] or _BY_COUNT.get(channels, [_FRONT] * channels)
    )
    return found if found.any() else np.full(channels, _FRONT)


class Mixer:
    """For the pieces of one recording, in their order."""

    def __init__(self) -> None:
        self._form: tuple[int, int, tuple[str, ...]] | None = None

    def mono(self, piece: Piece) -> Samples:
        """(samples,)"""
        samples = piece.samples
        form = piece.sample_rate_hz, samples.shape[1], piece.roles
        if form[1] == 1:
            return samples[:, 0]
        if form != self._form:
            self._form = form
            self._state = _State(weights(piece.roles, form[1]))
            self._before: Floats | None = None
        rows = self._state.rows(_analysed(samples, form[0]))
        before = rows[0] if self._before is None else self._before
        self._before = rows[-1]
        frame = form[0] * _FRAME_SECONDS
        if (rows == before).all():
            return _limited(samples @ before.astype(np.float32), frame)
        return _limited(_ramped(samples, np.vstack([before, rows]), frame), frame)


def _analysed(samples: Samples, rate_hz: int) -> Floats:
    """(frames, samples, channels): at a low rate, and treble raised: hum and rumble decide nothing."""
    step = max(1, rate_hz // _ANALYSIS_HZ)
    length, channels = len(samples) // step, samples.shape[1]
    low = samples[: length * step].reshape(length, step, channels).mean(axis=1, dtype=np.float64)
    bright = np.diff(low, axis=0, prepend=low[:1])
    per_frame = max(1, round(rate_hz * _FRAME_SECONDS / step))
    frames = max(1, -(-length // per_frame))
    return np.pad(bright, ((0, frames * per_frame - length), (0, 0))).reshape(frames, per_frame, channels)


def _ramped(samples: Samples, rows: Floats, frame: float) -> Samples:
    """Weights that reach each row at the end of its frame."""
    places, at = np.arange(len(rows)) * frame, np.arange(len(samples))
    mixed = np.zeros(len(samples))
    for channel, column in enumerate(rows.T):
        mixed += samples[:, channel] * np.interp(at, places, column)
    return mixed.astype(np.float32)


def _limited(mixed: Samples, frame: float) -> Samples:
    """Turned down around what exceeds full scale."""
    if not len(mixed) or np.abs(mixed).max() <= 1:
        return mixed
    starts = np.arange(0, len(mixed), round(frame))
    peaks = np.pad(np.maximum.reduceat(np.abs(mixed), starts), 1, mode="edge")
    gains = 1 / np.maximum(1.0, np.maximum(np.maximum(peaks[:-2], peaks[2:]), peaks[1:-1]))
    gain = np.interp(np.arange(len(mixed)), starts + frame / 2, gains)
    return np.asarray(mixed * gain, np.float32)


class _State:
    """What is known of the channels."""

    def __init__(self, roles: Floats) -> None:
        self._roles = roles
        self._order = np.argsort(-roles, kind="stable")
        self._signs = np.ones(len(roles))
        self._silent_frames = np.full(len(roles), _SILENT_FRAMES)
        self._loudest = 0.0
        self._before = np.zeros((0, len(roles), len(roles)))  # covariances of the frames before
        self._delay = mix_delay.Delay()

    def rows(self, frames: Floats) -> Floats:
        """(frames, channels): the weights of each frame."""
        covariances = np.matmul(frames.transpose(0, 2, 1), frames)
        known = np.concatenate([self._before, covariances])
        first = len(self._before)
        self._before = known[-_AROUND_FRAMES:]
        alone = self._delay.alone(frames) if len(self._roles) == 2 else [None] * len(frames)
        rows = []
        for n, channel in enumerate(alone, start=first):
            near = known[max(0, n - _AROUND_FRAMES) : n + _AROUND_FRAMES + 1].sum(axis=0)
            self._note_levels(near.diagonal())
            rows.append(self._row(near) if channel is None else np.eye(2)[channel])
        return np.array(rows)

    def _note_levels(self, powers: Floats) -> None:
        loudest = powers.max()
        self._loudest = max(self._loudest * _FADING, loudest)
        self._is_pause = loudest <= _QUIET * self._loudest
        if not self._is_pause:
            self._silent_frames = np.where(powers > _SILENT * loudest, 0, self._silent_frames + 1)

    def _row(self, covariance: Floats) -> Floats:
        sounding = (self._silent_frames < _SILENT_FRAMES) & (self._roles > 0)
        chosen = np.where(sounding, self._roles, 0.0) if sounding.any() else self._roles
        if not self._is_pause:
            self._turn(chosen, covariance)
        return np.asarray(chosen * self._signs / (1.0 if chosen.max() == _CENTRE else chosen.sum()))

    def _turn(self, chosen: Floats, covariance: Floats) -> None:
        """Each channel against the sum of the ones that count more."""
        mixed = np.zeros(len(chosen))
        for channel in self._order:
            weight = chosen[channel]
            if not weight:
                continue
            powers = mixed @ covariance @ mixed + weight * weight * covariance[channel, channel]
            if mixed.any() and powers > 0:
                likeness = 1 + 2 * weight * (mixed @ covariance[channel]) / powers
                if likeness < _TURNED:
                    self._signs[channel] = -1.0
                elif likeness > _RIGHT:
                    self._signs[channel] = 1.0
            mixed[channel] = weight * self._signs[channel]
