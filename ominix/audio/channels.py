"""Which of a recording's channels are heard: their mix, one of them, or each by itself. Knows no files.

Telephone recordings have a speaker in each channel; film sound is mixed by the roles of its channels (`mix`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ominix.audio.mix import Mixer
from ominix.audio.piece import Piece, Samples
from ominix.errors import JobRefused

SEPARATE = "separate"
MAX_SEPARATE = 8  # each costs as much as a recording
_SIDES = {"left": ("FL", "DL", 0), "right": ("FR", "DR", 1)}  # by role, or the number where there is none

Choice = Callable[[Piece], Samples]  # (samples,), or (samples, channels) of separate ones


def chosen(channel: str | None) -> Choice:
    """`channel`: left, right, a number from 0 on, or separate; None: the mix.

    What is returned raises JobRefused (param "channel") for a piece that has no such channel.
    """
    if channel is None:
        return Mixer().mono
    if channel == SEPARATE:
        return _Separate()
    return lambda piece: piece.samples[:, _number(channel, piece)]


def _number(channel: str, piece: Piece) -> int:
    count = piece.samples.shape[1]
    if channel in _SIDES:
        *roles, number = _SIDES[channel]
        places = [piece.roles.index(role) for role in roles if role in piece.roles]
        number = places[0] if places else number
        is_there = count > 1 and number < count
    else:
        number = int(channel)
        is_there = number < count
    if not is_there:
        has = "1 channel" if count == 1 else f"{count} channels, 0 to {count - 1}"
        raise _refused(f"the file has {has}: there is no channel '{channel}' in it")
    return number


def _refused(message: str) -> JobRefused:
    return JobRefused(message, param="channel", code="invalid_channel")


class _Separate:
    """As many channels as the first piece has, whatever follows: joined recordings may change."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, piece: Piece) -> Samples:
        count = piece.samples.shape[1]
        if count > MAX_SEPARATE and not self._count:
            raise _refused(
                f"the file has {count} channels: up to {MAX_SEPARATE} are transcribed separately. "
                f"Choose one of them by its number, 0 to {count - 1}"
            )
        self._count = self._count or count
        missing = max(0, self._count - count)
        return np.pad(piece.samples[:, : self._count], ((0, 0), (0, missing)))
