"""Make timestamps non-decreasing: keep the longest non-decreasing subsequence, move the rest.

In: times in milliseconds that may jump back. Out: as many whole milliseconds that do not.

A time that is not in the subsequence is moved between its neighbours in it. The rule is the reference's
(qwen-asr's fix_timestamp, transformers' _fix_timestamps), ties included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SHORT = 2  # so many wrong ones beside each other take a neighbour's time; more are spread evenly


def non_decreasing(times: Sequence[float]) -> list[int]:
    """As many whole numbers, none less than the one before."""
    kept = longest_non_decreasing_subsequence(times)
    result = list(times)
    for before, after in zip([None, *kept], [*kept, None], strict=True):
        first = 0 if before is None else before + 1
        last = len(times) if after is None else after
        left = None if before is None else times[before]
        right = None if after is None else times[after]
        result[first:last] = _between(left, right, last - first)
    return [int(time) for time in result]


def longest_non_decreasing_subsequence(values: Sequence[float]) -> list[int]:
    """The indices of its members. Of several such subsequences the one that is complete first, and of each
    member's possible predecessors the earliest."""
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
