"""Read recordings beside the engine's thread. In: open audio files. Out: clips with features, one a request.

    engine's thread     request() -----------------------------------------> poll() gives the clip
                            |                                                    ^
    reading thread          +--> is a clip at hand? --yes------> features -------+
                                      | no      ^
                                      |         | cut into clips
                                      v         |
    decode child                 samples, no more than the socket holds

One thread reads for all jobs of an engine. It waits for no child in particular but serves whichever has a
block, so a file that hangs its decoder holds up no other. What is not requested is not read: of a long
recording a clip or two are held.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from ominix.audio.decoder import Decoder, Decoding
from ominix.audio.piece import Gap
from ominix.engines.speech.channel_cutters import ChannelCutters
from ominix.engines.speech.clips import Clip, Cutter
from ominix.engines.speech.judge import Judge
from ominix.errors import JobRefused, OminixError
from ominix.models.recogniser import Features, Recogniser
from ominix.wire.events import Started
from ominix.wire.jobs import TranscriptionJob

HANGING_SECONDS = 60.0  # the thread computes the features of a clip at most between two looks at its calls

log = logging.getLogger("ominix.speech")

ReadClip = tuple[Clip, Features | None]  # no features of a clip in which nobody speaks


class Reader:
    """One recording, as the engine's thread sees it."""

    def __init__(self, thread: ReadingThread, job: TranscriptionJob, recogniser: Recogniser) -> None:
        """The job's open file is closed when it is read or nobody wants it any more."""
        self._thread = thread
        self._recording = _Recording(job, recogniser, thread.judge)
        self.pending: Future[ReadClip | None] | None = None
        self.ended = False  # there is no clip any more
        thread.post(self._recording.open)

    @property
    def waits(self) -> bool:
        """A clip is requested and not there."""
        return self.pending is not None and not self.pending.done()

    @property
    def work(self) -> int:
        """Blocks and clips so far: it grows as long as the file is being decoded."""
        return self._recording.work

    @property
    def notice(self) -> str | None:
        """Once it has ended: what the person has to know of the end."""
        return self._recording.notice

    @property
    def started(self) -> Started:
        """Once there is a clip: what can be told before the work."""
        return self._recording.started

    def request(self) -> None:
        """Have the next clip decoded, unless one is being decoded."""
        if self.pending is None and not self.ended:
            pending = self.pending = Future()
            self._thread.post(lambda loop: self._recording.request(pending))

    def poll(self) -> ReadClip | None:
        """The clip that was requested, if it is decoded by now.

        Raises JobRefused if the file cannot be decoded, InferenceFailed if nothing can be decoded at present.
        """
        self._thread.check()
        if self.pending is None or not self.pending.done():
            return None
        pending, self.pending = self.pending, None
        found = pending.result()
        self.ended = found is None
        return found

    def close(self) -> None:
        """No clip is wanted any more."""
        self.ended = True
        self._thread.post(lambda loop: self._recording.close(loop))


class ReadingThread:
    """The thread ends when nobody refers to this object any more: engines have no end of their own."""

    def __init__(
        self,
        decoder: Callable[[], Decoder] = Decoder,
        hanging_seconds: float = HANGING_SECONDS,
        judge: Callable[[float], Judge] = Judge,
    ) -> None:
        """`judge` makes one for a recording, of its threshold."""
        self.judge = judge
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        self._waker = waker
        self._loop = _Loop(decoder(), woken)
        self._posted_at = 0.0  # the first of the calls that wait
        self._hanging_seconds = hanging_seconds
        weakref.finalize(self, os.close, waker)
        self._thread = threading.Thread(target=self._loop.run, name="reading", daemon=True)
        self._thread.start()

    def post(self, call: _Call) -> None:
        """Have this called in the thread."""
        if self._loop.calls.empty():
            self._posted_at = time.monotonic()
        self._loop.calls.put(call)
        with contextlib.suppress(BlockingIOError):  # it has been woken often enough
            os.write(self._waker, b"\0")

    def check(self) -> None:
        """Raises RuntimeError if an error of ours has ended the thread, or it hangs. The log has the first's
        traceback."""
        if not self._thread.is_alive():
            raise RuntimeError("the thread that reads recordings has ended")
        if not self._loop.calls.empty() and time.monotonic() - self._posted_at > self._hanging_seconds:
            raise RuntimeError("the thread that reads recordings hangs")


class _Loop:
    """What the thread runs. It alone touches the decoder."""

    def __init__(self, decoder: Decoder, woken: int) -> None:
        self.calls: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self.decoder = decoder
        self.recordings: dict[Decoding, _Recording] = {}
        self._woken = woken
        os.set_blocking(woken, False)

    def run(self) -> None:
        try:
            while self._obey():
                for decoding in self.decoder.wait(None, self._woken):
                    self.recordings[decoding].advance()
        finally:
            self.decoder.close()
            os.close(self._woken)

    def _obey(self) -> bool:
        """Do what was posted; False when nobody can post any more."""
        with contextlib.suppress(BlockingIOError):
            if not os.read(self._woken, 4096):
                return False
        while not self.calls.empty():
            self.calls.get()(self)
        return True


_Call = Callable[[_Loop], None]


class _Recording:
    """One recording, as the reading thread sees it: blocks in, clips out."""

    def __init__(
        self, job: TranscriptionJob, recogniser: Recogniser, judge: Callable[[float], Judge]
    ) -> None:
        self._job = job
        self._recogniser = recogniser
        self._cutters = ChannelCutters(lambda: Cutter(job.cutting, recogniser.clip_seconds, judge))
        self._clips: deque[Clip] = deque()
        self._ended = False  # there are no clips but these
        self.work = 0
        self.notice: str | None = None  # what the person has to know of the end
        self.started = Started()
        self._has_heard = False
        self._has_speech = False  # in clips
        self._decoding: Decoding | None = None
        self._pending: Future[ReadClip | None] | None = None

    def open(self, loop: _Loop) -> None:
        self._decoding = loop.decoder.decode(
            self._job.audio, self._job.channel, self._job.language, self._job.caller.client
        )
        loop.recordings[self._decoding] = self

    def request(self, pending: Future[ReadClip | None]) -> None:
        self._pending = pending
        self._answer()

    def advance(self) -> None:
        """The decoder has a block, the end, or an error."""
        assert self._decoding and self._pending
        self.work += 1
        try:
            block = self._decoding.next()
            self._note_opened(self._decoding)
        except OminixError as error:
            self._end()
            if not self._counts_without_the_rest(error):
                self._pending.set_exception(error)
                return
            self.notice = f"Only the beginning was heard: {error.message}."
            log.warning("a recording was cut: %s", error.message)
        else:
            self._has_heard = True
            if block is None:
                self._end()
            elif isinstance(block, Gap):
                self._add(self._cutters.skipped(block.seconds))
            else:
                self._add(self._cutters.append(block))
        self._answer()

    def _note_opened(self, decoding: Decoding) -> None:
        if self._has_heard or decoding.opened is None:
            return
        self.started = Started(decoding.notice, decoding.opened.track)
        if track := decoding.opened.track:
            log.info("sound track %d (%r %r), of %d", track.index, track.language, track.title, track.count)
        if decoding.notice:
            log.warning("%s", decoding.notice)

    def _add(self, clips: Iterator[Clip]) -> None:
        for clip in clips:
            self._has_speech = self._has_speech or clip.sound is not None
            self._clips.append(clip)

    def _end(self) -> None:
        self._add(self._cutters.rest())
        self._ended = True

    def _counts_without_the_rest(self, error: OminixError) -> bool:
        """Whether what came before is an answer: of a damaged file speech is, noise may be the damage."""
        if not isinstance(error, JobRefused):
            return False
        if error.code == "audio_too_long":
            return self._has_heard
        return self._has_speech and error.param == "file"

    def _answer(self) -> None:
        assert self._decoding and self._pending
        if self._clips:
            clip = self._clips.popleft()
            self.work += 1
            features = self._recogniser.features(clip.samples) if clip.sound else None
            self._pending.set_result((clip, features))
        elif self._ended:
            self._pending.set_result(None)
        else:
            self._decoding.ask()

    def close(self, loop: _Loop) -> None:
        if self._decoding:
            self._decoding.cancel()
            loop.recordings.pop(self._decoding, None)
