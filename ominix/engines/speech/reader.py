"""Decode a recording beside the engine's thread. In: an audio file. Out: its clips with their features."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from ominix.audio import decode
from ominix.engines.speech import clips
from ominix.engines.speech.clips import Clip
from ominix.errors import JobRefused
from ominix.models.recogniser import Features, Recogniser
from ominix.wire.jobs import Cutting

MAX_AUDIO_SECONDS = 6 * 3600.0
MAX_AUDIO_BYTES = 16 << 30  # as decoded: six hours of stereo at 96 kHz in float32

ReadClip = tuple[Clip, Features | None]  # no features of a clip in which nobody speaks


class Reader:
    def __init__(
        self, thread: ThreadPoolExecutor, path: str, cutting: Cutting, recogniser: Recogniser
    ) -> None:
        self._thread = thread
        self._clips = _read(path, cutting, recogniser)
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


def _read(path: str, cutting: Cutting, recogniser: Recogniser) -> Generator[ReadClip, None, None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        blocks = decode.blocks(descriptor, max_seconds=MAX_AUDIO_SECONDS, max_bytes=MAX_AUDIO_BYTES)
        for clip in clips.clips(blocks, cutting, recogniser.clip_seconds):
            yield clip, recogniser.features(clip.samples) if clip.sound else None
    except FileNotFoundError:  # uploads are deleted when their client leaves
        raise JobRefused("the file is gone", param="file") from None
