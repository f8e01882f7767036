"""Which blocks of the past a token reads: InfLLM-v2's selection, as pure functions.

Row r of KV head g reads the first blocks, its own and the ones just before it, and of the others
those whose compressed keys answer it best. All G query heads of a KV head share the choice, which
is made in float32. Only for rows from selected_tokens on: those before them read all there is.
After the kernels of OpenBMB/infllmv2_cuda_impl; where they round or lose a window, the rule is kept.
"""

from __future__ import annotations

import math

import mlx.core as mx

from ominix.models.minicpm_sala.config import SparseConfig

LARGEST = 3e38  # just within float32


def select(q: mx.array, fine: mx.array, coarse: mx.array, first_row: int, config: SparseConfig) -> mx.array:
    """q (Hk, G, R, D) of rows first_row .. first_row + R - 1, already scaled; fine (Hk, n1, D) and
    coarse (Hk, n2, D): the windows complete at the last row. Returns (Hk, R, NB), true where a row
    reads a block; NB counts the blocks up to the last row's own.
    """
    R = q.shape[2]
    rows = mx.arange(first_row, first_row + R)
    NB = (first_row + R - 1) // config.block_size + 1
    p = fine_weights(q, fine, coarse, rows, config)
    return top_blocks(block_scores(p, NB, config), rows, config)


def fine_weights(
    q: mx.array, fine: mx.array, coarse: mx.array, rows: mx.array, config: SparseConfig
) -> mx.array:
    """How well each fine window answers each row, summed over the group's heads: (Hk, R, n1).

    exp(q . fine) over the sum of exp(q . coarse), not a softmax: the reference normalises tier 1 by
    tier 2. Only windows that end at or before the row count.
    """
    q = q.astype(mx.float32)
    s1 = q @ fine.astype(mx.float32)[:, None].swapaxes(-1, -2)  # (Hk, G, R, n1)
    s2 = q @ coarse.astype(mx.float32)[:, None].swapaxes(-1, -2)  # (Hk, G, R, n2)
    stride = config.kernel_stride
    s2 = mx.where(_ended(coarse.shape[1], 4 * stride, rows), s2, -math.inf)
    lse = mx.logsumexp(s2, axis=-1, keepdims=True)
    p = mx.exp(s1 - lse).sum(axis=1)
    return mx.where(_ended(fine.shape[1], stride, rows), p, 0)


def _ended(n: int, stride: int, rows: mx.array) -> mx.array:
    """(R, n): window j, of 2 * stride tokens from j * stride on, ends at or before the row."""
    return mx.arange(n) * stride + (2 * stride - 1) <= rows[:, None]


def block_scores(p: mx.array, NB: int, config: SparseConfig) -> mx.array:
    """p (Hk, R, n1) -> (Hk, R, NB): the best window that touches the block.

    Block b is touched by windows b*n - 1 .. b*n + n - 1 with n windows starting in a block, so the
    window over a boundary counts for both of its blocks.
    """
    Hk, R, n1 = p.shape
    n = config.block_size // config.kernel_stride
    p = mx.pad(p, [(0, 0), (0, 0), (0, NB * n - n1)]).reshape(Hk, R, NB, n)
    crossing = mx.pad(p[:, :, :-1, -1], [(0, 0), (0, 0), (1, 0)])  # from the block before
    return mx.maximum(p.max(axis=-1), crossing)


def top_blocks(score: mx.array, rows: mx.array, config: SparseConfig) -> mx.array:
    """score (Hk, R, NB) -> true for the blocks read. Of equal scores the lower block wins:
    neighbours that share their best window tie exactly and often.
    """
    NB = score.shape[-1]
    block, own = mx.arange(NB), rows[:, None] // config.block_size
    forced = (block < config.init_blocks) | (block >= own - config.local_blocks)
    score = mx.minimum(score, LARGEST)  # an overflow must not rank with the forced blocks
    score = mx.where(block > own, -math.inf, mx.where(forced, math.inf, score))
    threshold = mx.topk(score, config.selected_blocks, axis=-1).min(axis=-1, keepdims=True)
    above, level = score > threshold, score == threshold
    room = config.selected_blocks - above.sum(axis=-1, keepdims=True)
    return above | (level & (mx.cumsum(level, axis=-1) <= room))
