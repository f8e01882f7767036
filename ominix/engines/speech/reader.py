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
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from ominix.audio.decoder import Decoder, Decoding
from ominix.engines.speech.judge import Judge
from ominix.engines.speech.sources import Pauses, ReadClip, Sequence, Source
from ominix.models.recogniser import Recogniser
from ominix.wire.events import Started
from ominix.wire.jobs import TranscriptionJob

HANGING_SECONDS = 60.0  # the thread computes the features of a clip at most between two looks at its calls


class Reader:
    """One recording, as the engine's thread sees it."""

    def __init__(self, thread: ReadingThread, job: TranscriptionJob, recogniser: Recogniser) -> None:
        """The job's open file is closed when it is read or nobody wants it any more."""
        self._thread = thread
        survey = recogniser.survey() if job.sequential else None
        self._recording = Sequence(job, survey) if survey else Pauses(job, recogniser, thread.judge)
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
    def total_seconds(self) -> float | None:
        """Of the whole recording; None: not known yet."""
        return self._recording.total_seconds

    @property
    def started(self) -> Started:
        """Once there is a clip: what can be told before the work."""
        return self._recording.started

    def request(self, start_seconds: float = 0.0) -> None:
        """Have the next clip decoded, unless one is being decoded. `start_seconds`: of a window."""
        if self.pending is None and not self.ended:
            pending = self.pending = Future()
            self._thread.post(lambda loop: self._recording.request(pending, start_seconds))

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
        self.recordings: dict[Decoding, Source] = {}
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
