"""Recordings to samples in decode children: the side of the process that wants the samples.

In: descriptors of files in any format. Out: blocks of samples (float32, mono, 16 kHz), five seconds at most,
and gaps between them.

                      a child                  ask()                   the file ends, is refused,
                      is free                                          or its child dies
    decode() --> waiting --> decoding, paused -------> decoding, asked -------> ended
                                    ^                       |                   next() gives None,
                                    +-----------------------+                   or raises
                                a block is here: next() gives it

    cancel(), at any time: the child is killed

- Each recording has a child to itself, so one that hangs holds up no other. A child that has reached the end
  of its file is given another: a start takes 300 ms, a short clip a few.
- The socket between us pauses a child: it holds less than a block. `ask` starts the clock: a child that then
  sends no block for `silence_seconds` is killed. As long as nobody asks nothing is late.
- What a file does to its child is refused like other damage. That no child can be started is our fault.

Not thread-safe: one thread owns a Decoder.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from ominix.audio import lengths
from ominix.audio.channels import MAX_SEPARATE, SEPARATE
from ominix.audio.children import Children
from ominix.audio.piece import Gap, Samples
from ominix.audio.process import ChildProcess
from ominix.audio.refusals import unreadable
from ominix.errors import InferenceFailed, JobRefused, OminixError
from ominix.fairness import FairQueue
from ominix.wire import decoding as wire
from ominix.wire.transport import NotAMessage

MAX_AUDIO_SECONDS = 6 * 3600.0
MAX_AUDIO_BYTES = 16 << 30  # as decoded: six hours of stereo at 96 kHz in float32
_BYTES_A_SECOND = 96_000 * 2 * 4  # of a longer bound: it is in seconds, and bytes must not come first
SILENCE_SECONDS = 60.0  # for a block of five seconds, on a machine that has other things to do
_ROUNDING_SECONDS = 0.001  # of sums of floats
_SLACK_SECONDS = 1.0  # of what files say of themselves
_MOST_BLOCK_BYTES = 5 * 16_000 * 4


class Decoding:
    """One recording. `Decoder.decode` makes it."""

    def __init__(
        self, decoder: Decoder, descriptor: int, channel: str | None, language: str | None, client: str
    ) -> None:
        self._decoder = decoder
        self.channel = channel
        self.language = language
        self.client = client
        self._blocks: deque[Samples | Gap] = deque()
        self._error: OminixError | None = None
        self.descriptor = descriptor
        self.child: ChildProcess | None = None
        self.since = 0.0  # when it was asked, or got its child, whichever came last
        self.ended = False
        self.opened: wire.Opened | None = None  # what the file says of itself, once there is a block

    @property
    def has_news(self) -> bool:
        """`next` may be called."""
        return bool(self._blocks) or self.ended

    def ask(self) -> None:
        """The next block is wanted; `Decoder.wait` tells when it is here."""
        self._decoder.ask(self)

    def next(self) -> Samples | Gap | None:
        """The block that was asked for, or a gap before it; None at the recording's end.

        Raises JobRefused if the file cannot be decoded, InferenceFailed if no child can be started.
        """
        assert self.has_news
        if self._blocks:
            return self._blocks.popleft()
        if self._error:
            raise self._error
        return None

    def cancel(self) -> None:
        """No more of it is wanted: its child is killed, whatever it does. May be called more than once."""
        self._decoder.cancel(self)

    def open(self, opened: wire.Opened) -> None:
        """Of joined recordings the first counts. Raises NotAMessage."""
        track = opened.track
        if opened.seconds is not None and not 0 <= opened.seconds < math.inf:
            raise NotAMessage(f"a file of {opened.seconds} s")
        if track and max(map(len, (track.codec, track.language, track.title))) > wire.MAX_TEXT:
            raise NotAMessage("a track with a long name")
        self.opened = self.opened or opened

    @property
    def notice(self) -> str | None:
        """That not all can be heard, if the file says so before it is decoded."""
        seconds = self.opened and self.opened.seconds
        if not seconds or seconds <= self._decoder.max_seconds + _SLACK_SECONDS:
            return None
        allowed = lengths.spelled(self._decoder.max_seconds)
        return f"The file announces {lengths.spelled(seconds)} of audio: the first {allowed} are heard."

    def add(self, block: bytes, channels: int | None) -> None:
        """Raises NotAMessage: what a broken codec has made of its process may send anything."""
        side_by_side = channels or 1
        is_possible = 0 < side_by_side <= MAX_SEPARATE and (channels is None) is (self.channel != SEPARATE)
        most_bytes = side_by_side * _MOST_BLOCK_BYTES
        if not is_possible or not 0 < len(block) <= most_bytes or len(block) % (4 * side_by_side):
            raise NotAMessage(f"a block of {len(block)} bytes and {channels} channels")
        samples = np.frombuffer(block, np.float32)
        self._blocks.append(samples if channels is None else samples.reshape(-1, channels))

    def add_gap(self, seconds: float) -> None:
        """Raises NotAMessage."""
        if not 0 < seconds <= self._decoder.max_seconds + _ROUNDING_SECONDS:
            raise NotAMessage(f"a gap of {seconds} s")
        self._blocks.append(Gap(seconds))

    def end(self, error: OminixError | None = None) -> None:
        self._error = error
        self.ended = True


class Decoder:
    def __init__(
        self,
        *,
        start: Callable[[], ChildProcess] = ChildProcess,
        silence_seconds: float = SILENCE_SECONDS,
        max_seconds: float = MAX_AUDIO_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The first child is started here, so that it is ready when a file comes."""
        self._silence_seconds = silence_seconds
        self.max_seconds = max_seconds
        self._clock = clock
        self._children = Children(start, clock)
        self._waiting: FairQueue[Decoding] = FairQueue(lambda decoding: decoding.client)
        self._running: list[Decoding] = []
        self._asked: list[Decoding] = []
        self._children.keep_ready()

    def decode(
        self,
        descriptor: int,
        channel: str | None = None,
        language: str | None = None,
        client: str = "",
    ) -> Decoding:
        """Begin with a file; the descriptor is ours to close. `channel`: see `channels.chosen`. `client`: who
        takes turns with others."""
        decoding = Decoding(self, descriptor, channel, language, client)
        self._waiting.append(decoding)
        self._children.try_again()
        self._assign()
        return decoding

    def wait(self, timeout_seconds: float | None, wakeup: int | None = None) -> list[Decoding]:
        """The recordings whose `next` may be called.

        May return early and without one: `wakeup`, a descriptor, is readable, say.
        """
        if any(decoding.has_news for decoding in self._asked):
            timeout_seconds = 0
        self._poll(timeout_seconds, wakeup)
        self._children.receive()
        for decoding in self._awaited():
            if self._clock() - decoding.since > self._silence_seconds:
                self._kill(decoding, f"nothing has come of it for {self._silence_seconds:g} s")
        self._assign()
        answered = [decoding for decoding in self._asked if decoding.has_news]
        self._asked = [decoding for decoding in self._asked if not decoding.has_news]
        return answered

    def _awaited(self) -> list[Decoding]:
        """Those that are asked and whose child has sent nothing yet."""
        return [decoding for decoding in self._running if decoding in self._asked and not decoding.has_news]

    def close(self) -> None:
        """End every child."""
        for decoding in [*self._running, *self._waiting]:
            self.cancel(decoding)
        self._children.end()

    def ask(self, decoding: Decoding) -> None:
        decoding.since = self._clock()
        if decoding not in self._asked:
            self._asked.append(decoding)

    def cancel(self, decoding: Decoding) -> None:
        if decoding in self._waiting:
            self._waiting.remove(decoding)
            os.close(decoding.descriptor)
        elif decoding in self._running:
            self._running.remove(decoding)
            assert decoding.child
            decoding.child.end()
            self._assign()
        decoding.end()
        if decoding in self._asked:
            self._asked.remove(decoding)

    def _assign(self) -> None:
        """Files to children, in turns."""
        while self._waiting and (child := self._children.acquire()):
            self._begin(self._waiting.popleft(), child)
        self._children.keep_ready()
        if self._children.failure:
            while self._waiting:
                decoding = self._waiting.popleft()
                os.close(decoding.descriptor)
                decoding.end(InferenceFailed(f"audio cannot be decoded: {self._children.failure}"))

    def _begin(self, decoding: Decoding, child: ChildProcess) -> None:
        try:
            max_bytes = max(MAX_AUDIO_BYTES, int(self.max_seconds * _BYTES_A_SECOND))
            command = wire.Decode(self.max_seconds, max_bytes, decoding.channel, decoding.language)
            child.decode(command, decoding.descriptor)
        except OSError:  # it has died idle, without this file
            child.end()
            self._waiting.append(decoding)
            return
        os.close(decoding.descriptor)
        decoding.child, decoding.since = child, self._clock()
        self._running.append(decoding)

    def _poll(self, timeout_seconds: float | None, wakeup: int | None) -> None:
        """Wait for the children that are asked and for the one that is starting; receive what there is."""
        awaited = {d.child.fileno(): d for d in self._awaited() if d.child}
        poll = select.poll()
        starting = [self._children.starting.fileno()] if self._children.starting else []
        for number in (*awaited, *starting, *([] if wakeup is None else [wakeup])):
            poll.register(number, select.POLLIN)
        times = [d.since + self._silence_seconds for d in awaited.values()] + self._children.due
        left = [max(0.0, due - self._clock()) for due in times]
        if timeout_seconds is not None:
            left.append(timeout_seconds)
        for number, _ in poll.poll(math.ceil(min(left) * 1000) if left else None):
            if number in awaited:
                self._receive(awaited[number])

    def _receive(self, decoding: Decoding) -> None:
        assert decoding.child
        try:
            for answer in decoding.child.receive():
                self._on_answer(decoding, answer)
        except (EOFError, OSError):
            self._running.remove(decoding)
            decoding.end(unreadable(f"cannot be decoded: {decoding.child.why_it_ended()}"))
        except NotAMessage:
            self._kill(decoding, "its decoder sent what is no message")

    def _on_answer(self, decoding: Decoding, answer: wire.Answer) -> None:
        if decoding.ended:  # what an honest child says after the end is nothing
            return
        match answer:
            case wire.Opened():
                decoding.open(answer)
            case wire.Samples(block, channels):
                decoding.add(block, channels)
            case wire.Gap(seconds):
                decoding.add_gap(seconds)
            case wire.Decoded():
                self._finish(decoding)
            case wire.DecodeRefused(message, param, code):
                self._finish(decoding, JobRefused(message, param=param, code=code))
            case wire.Ready():
                raise NotAMessage("a child is ready twice")

    def _finish(self, decoding: Decoding, error: JobRefused | None = None) -> None:
        """The child has come to the end of the file."""
        assert decoding.child
        self._running.remove(decoding)
        self._children.release(decoding.child)
        decoding.end(error)

    def _kill(self, decoding: Decoding, why: str) -> None:
        assert decoding.child
        self._running.remove(decoding)
        decoding.child.end()
        decoding.end(unreadable(f"cannot be decoded: {why}"))
