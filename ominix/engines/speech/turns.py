"""Put the segments of several channels into one order, and their texts into lines. In: segments. Out: events.

Segments of a channel come in order, but a long clip of one speaker is closed before what another said
meanwhile. So a segment waits until everything that begins earlier is here. The text has a line for each
stretch of one speaker: "left: Hello." The deltas are these lines' pieces, a segment each.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from msgspec import structs

from ominix.text import joining
from ominix.wire.events import Delta, Segment, TokenLogprob

Logprobs = tuple[TokenLogprob, ...]


class Turns:
    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Segment, Logprobs]] = []
        self._count = itertools.count()
        self._segments = 0
        self._speaker: str | None = None
        self.text = ""

    def add(self, segment: Segment, logprobs: Logprobs) -> None:
        heapq.heappush(self._waiting, (segment.start, next(self._count), segment, logprobs))

    def until(self, seconds: float) -> Iterator[tuple[Delta, Segment]]:
        """Those that begin before; nothing that is added later does."""
        while self._waiting and self._waiting[0][0] <= seconds:
            _, _, segment, logprobs = heapq.heappop(self._waiting)
            numbered = structs.replace(segment, id=self._segments)
            self._segments += 1
            yield Delta(self._line(segment), logprobs=logprobs), numbered

    def _line(self, segment: Segment) -> str:
        """What the text becomes longer by."""
        if segment.speaker == self._speaker:
            new = joining.between(self.text, segment.text) + segment.text
        else:
            new = ("\n" if self.text else "") + f"{segment.speaker}: {segment.text}"
        self._speaker = segment.speaker
        self.text += new
        return new
