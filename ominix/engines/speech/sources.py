"""Where the clips of a recording come from, as the reading thread has it. In: blocks of samples. Out: clips.

`Pauses` cuts between utterances and knows by itself where the next clip begins. `Sequence` cuts windows, each
where the model has finished the one before.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol

from ominix.audio.decoder import Decoder, Decoding
from ominix.audio.piece import Gap
from ominix.engines.speech.channel_cutters import ChannelCutters
from ominix.engines.speech.clips import Clip, Cutter
from ominix.engines.speech.judge import Judge
from ominix.engines.speech.windows import Windows
from ominix.errors import JobRefused, OminixError
from ominix.models.recogniser import Features, Recogniser, Samples, Survey
from ominix.wire.events import Started
from ominix.wire.jobs import TranscriptionJob

log = logging.getLogger("ominix.speech")

ReadClip = tuple[Clip, Features | None]  # no features of a clip in which nobody speaks


class Loop(Protocol):
    """Of the thread, what a source needs."""

    decoder: Decoder
    recordings: dict[Decoding, Source]


class Source(ABC):
    """One recording, as the reading thread sees it: blocks in, clips out."""

    def __init__(self, job: TranscriptionJob) -> None:
        self._job = job
        self._ended = False  # there are no clips but those at hand
        self.work = 0
        self.notice: str | None = None  # what the person has to know of the end
        self.started = Started()
        self.total_seconds: float | None = None  # of the whole recording; None: not known yet
        self._has_heard = False
        self._has_speech = False  # in what has come
        self._loop: Loop | None = None
        self._decoding: Decoding | None = None
        self._pending: Future[ReadClip | None] | None = None
        self._start_seconds = 0.0  # where the requested clip begins, if that is for others to say

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._decode(loop, self._job.audio)

    def _decode(self, loop: Loop, audio: int) -> None:
        self._decoding = loop.decoder.decode(
            audio, self._job.channel, self._job.language, self._job.caller.client
        )
        loop.recordings[self._decoding] = self

    def request(self, pending: Future[ReadClip | None], start_seconds: float) -> None:
        self._pending, self._start_seconds = pending, start_seconds
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
                self._skip(block.seconds)
            else:
                self._append(block)
        self._answer()

    def _note_opened(self, decoding: Decoding) -> None:
        if self._has_heard or decoding.opened is None:
            return
        self.started = Started(decoding.notice, decoding.opened.track)
        if track := decoding.opened.track:
            log.info("sound track %d (%r %r), of %d", track.index, track.language, track.title, track.count)
        if decoding.notice:
            log.warning("%s", decoding.notice)

    def _counts_without_the_rest(self, error: OminixError) -> bool:
        """Whether what came before is an answer: of a damaged file speech is, noise may be the damage."""
        if not isinstance(error, JobRefused):
            return False
        if error.code == "audio_too_long":
            return self._has_heard
        return self._has_speech and error.param == "file"

    def _answer(self) -> None:
        """Give the requested clip, or have more decoded."""
        assert self._decoding and self._pending
        if found := self._clip():
            self.work += 1
            self._pending.set_result(found)
        elif self._ended:
            self._pending.set_result(None)
        else:
            self._decoding.ask()

    def close(self, loop: Loop) -> None:
        if self._decoding:
            self._decoding.cancel()
            loop.recordings.pop(self._decoding, None)

    @abstractmethod
    def _append(self, block: Samples) -> None: ...

    @abstractmethod
    def _skip(self, seconds: float) -> None: ...

    @abstractmethod
    def _end(self) -> None: ...

    @abstractmethod
    def _clip(self) -> ReadClip | None:
        """The next one, if it is at hand."""


class Pauses(Source):
    """Clips between pauses."""

    def __init__(
        self, job: TranscriptionJob, recogniser: Recogniser, judge: Callable[[float], Judge]
    ) -> None:
        super().__init__(job)
        self._recogniser = recogniser
        self._cutters = ChannelCutters(lambda: Cutter(job.cutting, recogniser.clip_seconds, judge))
        self._clips: deque[Clip] = deque()

    def _append(self, block: Samples) -> None:
        self._add(self._cutters.append(block))

    def _skip(self, seconds: float) -> None:
        self._add(self._cutters.skipped(seconds))

    def _end(self) -> None:
        self._add(self._cutters.rest())
        self._ended = True

    def _add(self, clips: Iterator[Clip]) -> None:
        for clip in clips:
            self._has_speech = self._has_speech or clip.sound is not None
            self._clips.append(clip)

    def _clip(self) -> ReadClip | None:
        if not self._clips:
            return None
        clip = self._clips.popleft()
        return clip, self._recogniser.features(clip.samples) if clip.sound else None


class Sequence(Source):
    """Windows that begin where the last one was finished. The file is decoded twice: see `windows`."""

    def __init__(self, job: TranscriptionJob, survey: Survey) -> None:
        super().__init__(job)
        self._windows = Windows(survey)
        self._again: int | None = os.dup(job.audio)

    def _append(self, block: Samples) -> None:
        self._has_speech = True  # nobody says otherwise
        self._windows.append(block)

    def _skip(self, seconds: float) -> None:
        self._windows.skip(seconds)

    def _end(self) -> None:
        self._windows.end()
        self.total_seconds = self._windows.total_seconds
        if self._again is not None:
            assert self._loop and self._decoding
            self._loop.recordings.pop(self._decoding)
            again, self._again = self._again, None
            self._decode(self._loop, again)

    def _clip(self) -> ReadClip | None:
        if self._windows.surveying:
            return None
        self._ended = self._windows.is_over(self._start_seconds)
        return None if self._ended else self._windows.window(self._start_seconds)

    def close(self, loop: Loop) -> None:
        super().close(loop)
        if self._again is not None:
            os.close(self._again)
            self._again = None
