"""Cut the channels of a recording into clips. In: blocks of all channels. Out: clips in order.

Each channel has a cutter of its own, so each speaker's pauses count. A clip waits until no other channel can
have one that begins earlier: a channel in which somebody speaks on and on holds the others up for one clip's
length, so little more than that is held of each.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator

from ominix.engines.speech.clips import Channel, Clip, Cutter
from ominix.engines.speech.vad import Samples


class ChannelCutters:
    """Of mono blocks it makes what one cutter makes."""

    def __init__(self, cutter: Callable[[], Cutter]) -> None:
        self._cutter = cutter
        self._cutters: list[Cutter] = []
        self._channels: list[Channel | None] = []
        self._waiting: list[deque[Clip]] = []
        self._before_seconds = 0.0  # a gap before the first block, which tells how many channels there are

    def append(self, block: Samples) -> Iterator[Clip]:
        """The clips that are certain by now."""
        if not self._cutters:
            yield from self._begin(None if block.ndim == 1 else block.shape[1])
        columns = [block] if block.ndim == 1 else block.T
        for cutter, column in zip(self._cutters, columns, strict=True):
            cutter.append(column)
        yield from self._collected([cutter.ready() for cutter in self._cutters])

    def skipped(self, seconds: float) -> Iterator[Clip]:
        """Go on after a gap in the recording. The clips that are certain by it."""
        if not self._cutters:
            self._before_seconds += seconds
        return self._collected([cutter.skipped(seconds) for cutter in self._cutters])

    def rest(self) -> Iterator[Clip]:
        """The clips up to the end."""
        yield from self._collected([cutter.rest() for cutter in self._cutters])
        left = [clip for waiting in self._waiting for clip in waiting]
        yield from sorted(left, key=lambda clip: clip.start)

    def _begin(self, count: int | None) -> Iterator[Clip]:
        self._channels = [None] if count is None else [Channel(n, _name(n, count)) for n in range(count)]
        self._cutters = [self._cutter() for _ in self._channels]
        self._waiting = [deque() for _ in self._channels]
        return self.skipped(self._before_seconds) if self._before_seconds else iter(())

    def _collected(self, found: list[Iterator[Clip]]) -> Iterator[Clip]:
        for channel, clips, waiting in zip(self._channels, found, self._waiting, strict=True):
            waiting.extend(dataclasses.replace(clip, channel=channel) if channel else clip for clip in clips)
        while True:
            starts = [waiting[0].start if waiting else math.inf for waiting in self._waiting]
            due = min(starts, default=math.inf)
            awaited = [c for c, waiting in zip(self._cutters, self._waiting, strict=True) if not waiting]
            if due == math.inf or any(cutter.position_seconds < due for cutter in awaited):
                return
            yield self._waiting[starts.index(due)].popleft()


def _name(number: int, count: int) -> str:
    return ("left", "right")[number] if count == 2 else f"channel {number}"
