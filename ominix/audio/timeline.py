"""Decoded frames with time stamps -> pieces and gaps on a clock that begins at 0, where a player's does.

Where a stamp says that sound is missing (it begins late, the recorder was paused, packets were lost), a gap
takes its place. No sample is dropped or moved back.

    drift = a frame's stamp - where the samples before it have come to

    up to 40 ms      rounding, and jitter of recorders that stamp packets when they arrive
    up to 250 ms     a gap if it stays for a second
    more, later      a gap, unless the next frame is back on the old clock: then that one stamp was wrong
    more, earlier    the clock was set back (a reset, joined recordings): sound and clock go on from here
    above 6 hours    a reset, too: no player would wait so long

A slow drift backwards is left alone: the next gap is so much shorter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

from ominix.audio.piece import Gap, Piece

_JITTER_SECONDS = 0.04
_JUMP_SECONDS = 0.25
_STAYS_SECONDS = 1.0
_MAX_GAP_SECONDS = 6 * 3600.0
_REORDERED = 16  # pictures: they come in the order in which they are decoded


class Timeline:
    """One track beside its pictures, from its start to its end."""

    def __init__(self, origin: float | None) -> None:
        """`origin`: the stamp in seconds that is 0; None: the first frame's."""
        self._origin = math.inf if origin is None else origin
        self._offset: float | None = None  # is added to stamps; None: no frame had one yet
        self._position = 0.0  # where the next sample belongs
        self._drift = 0.0  # of the last frame
        self._late_since: float | None = None  # the position since which the drift has exceeded jitter
        self._least = 0.0  # drift since then
        self._picture_ends: deque[float] = deque(maxlen=_REORDERED)

    def note_picture(self, start: float, end: float) -> None:
        """A picture is shown between these stamps, perhaps before and after anything sounds."""
        if self._offset is None:
            self._origin = min(self._origin, start)
        self._picture_ends.append(end)

    def laid(self, frames: Iterable[Piece]) -> Iterator[Piece | Gap]:
        held: Piece | None = None  # its stamp jumps, and the next one says what that means
        for frame in frames:
            if held is not None:
                yield from self._resolved(held, frame)
                held = None
            drift = self._drift_of(frame)
            if (
                drift > (_JUMP_SECONDS if self._position else _JITTER_SECONDS)
                or drift - self._drift < -_JUMP_SECONDS
            ):
                held = frame
                continue
            yield from self._settled(drift)
            yield self._placed(frame)
        if held is not None:
            yield from self._jump(self._drift_of(held))
            yield self._placed(held)
        yield from self._rest()

    def _drift_of(self, frame: Piece, behind_seconds: float = 0.0) -> float:
        """`behind_seconds`: of a frame that is not placed yet and comes before it."""
        if frame.start is None:
            return self._drift
        if self._offset is None:
            self._offset = -min(self._origin, frame.start - self._position)
        return frame.start + self._offset - self._position - behind_seconds

    def _resolved(self, held: Piece, following: Piece) -> Iterator[Piece | Gap]:
        """The frame whose stamp jumps, in the light of the next one."""
        jump, drift = self._drift_of(held), self._drift_of(following, held.seconds)
        if abs(drift - jump) <= abs(drift - self._drift):
            yield from self._jump(jump)
        yield self._placed(held)

    def _jump(self, drift: float) -> Iterator[Gap]:
        self._late_since = None
        if 0 < drift <= _MAX_GAP_SECONDS:
            yield self._gap(drift)
        elif self._offset is not None:
            self._offset -= drift
        self._drift = 0.0

    def _settled(self, drift: float) -> Iterator[Gap]:
        """A gap once it is certain that so much is missing."""
        self._drift = drift
        if drift <= _JITTER_SECONDS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since, self._least = self._position, drift
        else:
            self._least = min(self._least, drift)
            if self._position - self._late_since >= _STAYS_SECONDS:
                self._late_since = None
                self._drift -= self._least
                yield self._gap(self._least)

    def _rest(self) -> Iterator[Gap]:
        """What is missing at the end."""
        if self._late_since is not None:
            yield self._gap(self._least)
        if self._picture_ends and self._offset is not None:
            left = max(self._picture_ends) + self._offset - self._position
            if _JITTER_SECONDS < left <= _MAX_GAP_SECONDS:
                yield self._gap(left)

    def _gap(self, seconds: float) -> Gap:
        self._position += seconds
        return Gap(seconds)

    def _placed(self, frame: Piece) -> Piece:
        self._position += frame.seconds
        return frame
