"""A recording that is decoded on a thread beside the engine's, clip by clip."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from ominix.audio import decode
from ominix.engines.speech import clips
from ominix.engines.speech.clips import Clip
from ominix.errors import JobRefused
from ominix.models.qwen3_asr import features
from ominix.models.qwen3_asr.features import Mel
from ominix.wire.jobs import Cutting

MAX_AUDIO_SECONDS = 6 * 3600.0
MAX_AUDIO_BYTES = 16 << 30  # as decoded: six hours of stereo at 96 kHz in float32

Heard = tuple[Clip, Mel | None]  # no frames of a clip in which nobody speaks


class Reader:
    def __init__(self, thread: ThreadPoolExecutor, path: str, cutting: Cutting) -> None:
        self._thread = thread
        self._clips = _listen(path, cutting)
        self.coming: Future[Heard | None] | None = None
        self.ended = False  # there is no more to hear

    def ask(self) -> None:
        """Has the next clip decoded, unless one is being decoded."""
        if self.coming is None and not self.ended:
            self.coming = self._thread.submit(next, self._clips, None)

    def hear(self) -> Heard | None:
        """The clip that was asked for, if it is there by now. Raises JobRefused if it cannot be decoded."""
        if self.coming is None or not self.coming.done():
            return None
        coming, self.coming = self.coming, None
        heard = coming.result()
        self.ended = heard is None
        return heard

    def close(self) -> None:
        """Gives up; files are closed by the thread that opened them."""
        self.ended = True
        self._thread.submit(self._clips.close)


def _listen(path: str, cutting: Cutting) -> Generator[Heard, None, None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        blocks = decode.blocks(descriptor, max_seconds=MAX_AUDIO_SECONDS, max_bytes=MAX_AUDIO_BYTES)
        for clip in clips.clips(blocks, cutting):
            yield clip, features.log_mel(clip.samples) if clip.sound else None
    except FileNotFoundError:  # uploads are deleted when their client leaves
        raise JobRefused("the file is gone", param="file") from None
