"""Group speech frames into utterances.

In: speech probability per 10 ms frame. Out: [start, end) spans of frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ominix.engines.speech.vad import FRAMES_A_SECOND
from ominix.wire.jobs import Cutting

LONG_PAUSE = 2 * FRAMES_A_SECOND  # always ends an utterance
_GAP = 15  # frames: a shorter gap is part of a word, such as the hold of a "t"
_SPECK = 8  # frames: what is shorter and alone is a click

Span = tuple[int, int]  # frames, the second excluded
Mask = npt.NDArray[np.bool_]  # (frames,) whether somebody speaks


def speech_mask(probabilities: npt.NDArray[np.float64], threshold: float) -> Mask:
    """Frames of speech, with the gaps inside words and without clicks."""
    speech = probabilities > threshold
    for start, end in spans(~speech):
        if end - start < _GAP and start > 0 and end < len(speech):
            speech[start:end] = True
    for start, end in spans(speech):
        if end - start < _SPECK:
            speech[start:end] = False
    return speech


def utterances(speech: Mask, cutting: Cutting) -> list[Span]:
    """Spans of speech, joined over pauses that are too short to end an utterance."""
    found: list[Span] = []
    for start, end in spans(speech):
        if found and _goes_on(found[-1], start, cutting):
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _goes_on(utterance: Span, start: int, cutting: Cutting) -> bool:
    pause = start - utterance[1]
    is_short = utterance[1] - utterance[0] < cutting.shortest_seconds * FRAMES_A_SECOND
    wanted = LONG_PAUSE if is_short else cutting.silence_seconds * FRAMES_A_SECOND
    return pause < min(wanted, LONG_PAUSE)


def spans(chosen: Mask) -> list[Span]:
    """Where the frames that are true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
