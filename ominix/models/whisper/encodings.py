"""Encoded windows. In: log-mel frames of a clip. Out: what the decoder listens to.

The last few are kept: who times the words of a clip asks for what its recogniser has had encoded just before,
and the encoder is most of the work on a clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import mlx.core as mx

from ominix.models.recogniser import Features
from ominix.models.whisper import features
from ominix.models.whisper.model import Model

_KEPT = 8  # 3 to 4 MB each


class Encodings:
    """A clip is known by the array that it is."""

    def __init__(self, model: Model) -> None:
        self._encoder = model.encoder
        self._frames = model.config.frames
        self._recent: deque[tuple[Features, mx.array]] = deque(maxlen=_KEPT)
        self._open: tuple[Features, Iterator[mx.array]] | None = None
        self._layers_left = 0  # of the open one

    def of(self, mel: Features) -> mx.array:
        """(frames, n_mels) -> (1, n_audio_ctx, n_audio_state)."""
        while (audio := self.advance(mel)) is None:
            pass
        return audio

    def advance(self, mel: Features) -> mx.array | None:
        """One layer's work on the clip; None: there is more to do. Only one clip is in work at a time."""
        for known, audio in self._recent:
            if known is mel:
                return audio
        if self._open is None or self._open[0] is not mel:
            window = mx.array(features.window(mel, self._frames))[None]
            self._open = mel, self._encoder.pieces(window)
            self._layers_left = len(self._encoder.blocks)
        piece = next(self._open[1])
        mx.eval(piece)
        self._layers_left -= 1
        if self._layers_left:
            return None
        self._recent.append((mel, piece))
        self._open = None
        return piece
