"""Decode a recording beside the engine's thread. In: an audio file. Out: its clips with their features."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from ominix.audio import decode
from ominix.engines.speech import clips
from ominix.engines.speech.clips import Clip
from ominix.errors import JobRefused
from ominix.models.recogniser import Features, Recogniser
from ominix.wire.jobs import Cutting
from ominix.wire.transport import Descriptors

MAX_AUDIO_SECONDS = 6 * 3600.0
MAX_AUDIO_BYTES = 16 << 30  # as decoded: six hours of stereo at 96 kHz in float32

ReadClip = tuple[Clip, Features | None]  # no features of a clip in which nobody speaks


class Reader:
    def __init__(
        self, thread: ThreadPoolExecutor, audio: int, cutting: Cutting, recogniser: Recogniser
    ) -> None:
        """`audio`, an open file, is closed when its clips have been read or nobody wants them."""
        self._thread = thread
        self._clips = _read(Descriptors([audio]), cutting, recogniser)
        self.pending: Future[ReadClip | None] | None = None
        self.ended = False  # there is no clip any more

    def request(self) -> None:
        """Have the next clip decoded, unless one is being decoded."""
        if self.pending is None and not self.ended:
            self.pending = self._thread.submit(next, self._clips, None)

    def poll(self) -> ReadClip | None:
        """The clip that was requested, if it is decoded by now. Raises JobRefused if it cannot be decoded."""
        if self.pending is None or not self.pending.done():
            return None
        pending, self.pending = self.pending, None
        found = pending.result()
        self.ended = found is None
        return found

    def close(self) -> None:
        """No clip is wanted any more; files are closed by the thread that opened them."""
        self.ended = True
        self._thread.submit(self._clips.close)


def _read(audio: Descriptors, cutting: Cutting, recogniser: Recogniser) -> Generator[ReadClip, None, None]:
    try:
        blocks = decode.blocks(audio.take(), max_seconds=MAX_AUDIO_SECONDS, max_bytes=MAX_AUDIO_BYTES)
        for clip in clips.clips(blocks, cutting, recogniser.clip_seconds):
            yield clip, recogniser.features(clip.samples) if clip.sound else None
    except OSError as error:
        raise JobRefused(f"the file cannot be read: {error.strerror}", param="file") from None
