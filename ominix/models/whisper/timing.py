"""When tokens are said. In: the cross-attention of a decoder that reads a known text. Out: times in seconds.

As OpenAI does it: attention of the heads that follow the sound, as probabilities over time, standardised over
the tokens, smoothed over time, their mean; then the path through (tokens, time) that sees most of it (dynamic
time warping). Arrays in, arrays out; knows neither the network nor what a word is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SECONDS_PER_POSITION = 0.02  # of the encoder
_MEDIAN_POSITIONS = 7


def token_starts(scores: Floats) -> npt.NDArray[np.float64]:
    """(heads, rows, positions) attention before its softmax -> (rows,) seconds at which each row begins.

    Row i is the decoder's step that says token i, and the last row the end of the text.
    """
    path_rows, path_positions = dynamic_time_warping(-_attention(scores))
    begins = np.diff(path_rows, prepend=-1) > 0
    return np.asarray(path_positions[begins] * SECONDS_PER_POSITION, np.float64)


def _attention(scores: Floats) -> Floats:
    """(heads, rows, positions) -> (rows, positions)."""
    shifted = np.exp(scores - scores.max(-1, keepdims=True))
    weights = shifted / shifted.sum(-1, keepdims=True)
    deviation = weights.std(-2, keepdims=True)
    weights = (weights - weights.mean(-2, keepdims=True)) / np.maximum(deviation, 1e-10)
    return np.asarray(median(weights).mean(0), np.float32)


def median(x: Floats) -> Floats:
    """Over 7 places of the last axis, with reflected edges; an axis shorter than that stays as it is."""
    reach = _MEDIAN_POSITIONS // 2
    if x.shape[-1] <= reach:
        return x
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(reach, reach)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN_POSITIONS, axis=-1)
    return np.asarray(np.median(windows, axis=-1), np.float32)


def dynamic_time_warping(cost: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(N, M) -> rows and columns of the cheapest path from corner to corner.

    The table is filled by diagonals, whose cells do not depend on each other.
    """
    N, M = cost.shape
    total = np.full((N + 1, M + 1), np.inf)
    total[0, 0] = 0.0
    came = np.zeros(
        (N + 1, M + 1), np.int8
    )  # 0: from both before, 1: from the row before, 2: from the column
    for diagonal in range(2, N + M + 1):
        i = np.arange(max(1, diagonal - M), min(N, diagonal - 1) + 1)
        j = diagonal - i
        before = np.stack([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]])
        both, row, _ = before
        came[i, j] = np.where(
            (both < before[1]) & (both < before[2]), 0, np.where((row < both) & (row < before[2]), 1, 2)
        )
        total[i, j] = cost[i - 1, j - 1] + before.min(0)
    return _path(came)


def _path(came: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    came[0, :] = 2
    came[:, 0] = 1
    i, j = came.shape[0] - 1, came.shape[1] - 1
    cells = []
    while i > 0 or j > 0:
        cells.append((i - 1, j - 1))
        step = came[i, j]
        i -= step != 2
        j -= step != 1
    rows, columns = np.array(cells[::-1]).T
    return rows, columns
