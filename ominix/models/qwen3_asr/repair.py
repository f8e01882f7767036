"""Times that run on, out of times that may jump back.

The rule is the reference's (qwen-asr's fix_timestamp, transformers' _fix_timestamps), ties included: the
longest row that never falls stays; what is not in it is moved between its neighbours in that row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SHORT = 2  # so many wrong ones beside each other take a neighbour's time; more are spread evenly


def repaired(times: Sequence[float]) -> list[int]:
    """As many whole numbers that never fall."""
    kept = longest_rise(times)
    result = list(times)
    for before, after in zip([None, *kept], [*kept, None], strict=True):
        first = 0 if before is None else before + 1
        last = len(times) if after is None else after
        left = None if before is None else times[before]
        right = None if after is None else times[after]
        result[first:last] = _between(left, right, last - first)
    return [int(time) for time in result]


def longest_rise(values: Sequence[float]) -> list[int]:
    """Where the members of the longest row that never falls stand: of several the first to be complete,
    and each member's predecessor the earliest possible."""
    row = np.asarray(values, np.float64)
    lengths = np.ones(len(row), np.int64)
    parents = np.full(len(row), -1)
    for i in range(1, len(row)):
        candidates = np.where(row[:i] <= row[i], lengths[:i], 0)
        best = int(np.argmax(candidates))
        if candidates[best]:
            lengths[i], parents[i] = candidates[best] + 1, best
    place = int(np.argmax(lengths)) if len(row) else -1
    found: list[int] = []
    while place >= 0:
        found.append(place)
        place = int(parents[place])
    return found[::-1]


def _between(left: float | None, right: float | None, count: int) -> list[float]:
    """`count` times after `left` and before `right`, one of which may be missing."""
    if left is None or right is None:
        only = right if left is None else left
        return [only] * count if only is not None else []
    if count <= _SHORT:
        return [left if place <= count + 1 - place else right for place in range(1, count + 1)]
    step = (right - left) / (count + 1)
    return [left + step * place for place in range(1, count + 1)]
