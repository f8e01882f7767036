"""The `minicpm4` layer: softmax attention without positions, block-sparse when the text is long.

A call is sparse if its sequence has `dense_len` tokens or more after it. Every sequence of a batch
is attended by itself, so none depends on its neighbours.
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from ominix.models.minicpm_sala import blocks
from ominix.models.minicpm_sala.cache import Span, SparseCache
from ominix.models.minicpm_sala.config import ModelArgs
from ominix.models.minicpm_sala.storage import Buffer, SparseSequence, complete_windows

SCORES = 2**26  # attention scores that one slice of rows may hold at once: 256 MB of float32
GATHER_FROM = 4  # times the tokens a row reads: from there on copying them is cheaper than masking
GATHERED_ROWS = 16  # rows whose selected blocks are copied together


class SparseAttention(nn.Module):
    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        H, Hk, dim, bias = (
            args.num_attention_heads,
            args.num_key_value_heads,
            args.hidden_size,
            args.attention_bias,
        )
        D = dim // H
        self.kv_heads, self.group, self.head_dim = Hk, H // Hk, D
        self.scale = D**-0.5
        self.scores_at_once = SCORES
        self._config = args.sparse
        self.q_proj = nn.Linear(dim, H * D, bias=bias)
        self.k_proj = nn.Linear(dim, Hk * D, bias=bias)
        self.v_proj = nn.Linear(dim, Hk * D, bias=bias)
        self.o_proj = nn.Linear(H * D, dim, bias=bias)
        if args.attn_use_output_gate:
            self.o_gate = nn.Linear(dim, H * D, bias=bias)

    def __call__(self, x: mx.array, cache: SparseCache) -> mx.array:
        B, T, _ = x.shape
        Hk, G, D = self.kv_heads, self.group, self.head_dim
        q = self.q_proj(x).reshape(B, T, Hk, G, D).transpose(0, 2, 3, 1, 4)  # (B, Hk, G, T, D)
        k, v = (p(x).reshape(B, T, Hk, D).transpose(0, 2, 1, 3) for p in (self.k_proj, self.v_proj))
        o = mx.stack(
            [
                self._row(q[b], k[b], v[b], span, sequence)
                for b, (span, sequence) in enumerate(cache.take(B, T))
            ]
        )  # (B, Hk, G, T, D)
        o = o.transpose(0, 3, 1, 2, 4).reshape(B, T, -1)
        if "o_gate" in self:
            o = o * mx.sigmoid(self.o_gate(x))
        return self.o_proj(o)

    def _row(self, q: mx.array, k: mx.array, v: mx.array, span: Span, sequence: SparseSequence) -> mx.array:
        """One row of the batch: q (Hk, G, T, D); k, v (Hk, T, D). Padding comes out as zeros."""
        T, own = q.shape[2], slice(span.start, span.stop)
        if span.start == span.stop:
            return mx.zeros_like(q)
        sequence.append(k[:, own], v[:, own])
        o = self._attend(q[:, :, own], sequence)
        if o.shape[2] == T:
            return o
        return mx.pad(o, [(0, 0), (0, 0), (span.start, T - span.stop), (0, 0)])

    def _attend(self, q: mx.array, sequence: SparseSequence) -> mx.array:
        """q (Hk, G, n, D): the last n tokens of the sequence, in slices that bound memory."""
        L, n = sequence.length, q.shape[2]
        first = L - n
        # Up to here a row reads everything: the mode is dense, or all blocks would be chosen.
        dense_end = L if self._config.dense_len > L else min(L, self._config.selected_tokens)
        if dense_end < L:
            sequence.compress()
        rows = max(1, self.scores_at_once // (self.kv_heads * self.group * L))
        slices = [(self._read_all, a, b) for a, b in _cut(first, dense_end, rows)]
        read = self._read_one if n == 1 else self._read_masked
        if n > 1 and L // self._config.selected_tokens >= GATHER_FROM:
            read, rows = self._read_gathered, GATHERED_ROWS
        slices += [(read, a, b) for a, b in _cut(max(first, dense_end), L, rows)]
        outputs = [read(q[:, :, a - first : b - first], sequence, a, b) for read, a, b in slices]
        return mx.concatenate(outputs, axis=2)

    def _read_all(self, q: mx.array, sequence: SparseSequence, row: int, end: int) -> mx.array:
        """Rows row .. end - 1 over everything before them."""
        Hk, G, R, D = q.shape
        k, v = sequence.keys.first(end)[None], sequence.values.first(end)[None]
        mask = "causal" if R > 1 else None
        o = mx.fast.scaled_dot_product_attention(
            q.reshape(1, Hk * G, R, D), k, v, scale=self.scale, mask=mask
        )
        return o.reshape(Hk, G, R, D)

    def choose(self, q: mx.array, sequence: SparseSequence, row: int, end: int) -> mx.array:
        """The blocks that rows row .. end - 1 read: (Hk, R, NB) of true and false."""
        fine, coarse = (
            tier.first(complete_windows(end, stride))
            for tier, stride in zip((sequence.fine, sequence.coarse), sequence.strides, strict=True)
        )
        return blocks.select(q.astype(mx.float32) * self.scale, fine, coarse, row, self._config)

    def _read_masked(self, q: mx.array, sequence: SparseSequence, row: int, end: int) -> mx.array:
        """The same result as gathering; cheaper while the blocks left out are few."""
        chosen = mx.repeat(self.choose(q, sequence, row, end), self._config.block_size, axis=-1)
        mask = chosen[..., :end] & (mx.arange(end) <= mx.arange(row, end)[:, None])  # (Hk, R, end)
        k, v = sequence.keys.first(end)[:, None], sequence.values.first(end)[:, None]
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=self.scale, mask=mask[:, None])

    def _read_gathered(self, q: mx.array, sequence: SparseSequence, row: int, end: int) -> mx.array:
        """Each row over a copy of its blocks, the group's heads together."""
        Hk, G, R, D = q.shape
        k, v = self._gathered(q, sequence, row, end)
        S = k.shape[2]
        seen = S - self._config.block_size + mx.arange(row, end) % self._config.block_size
        mask = mx.broadcast_to(mx.arange(S) <= seen[:, None], (Hk, R, S))
        o = mx.fast.scaled_dot_product_attention(
            q.transpose(0, 2, 1, 3).reshape(Hk * R, 1, G, D),
            k.reshape(Hk * R, 1, S, D),
            v.reshape(Hk * R, 1, S, D),
            scale=self.scale,
            mask=mask.reshape(Hk * R, 1, 1, S),
        )
        return o.reshape(Hk, R, G, D).transpose(0, 2, 1, 3)

    def _read_one(self, q: mx.array, sequence: SparseSequence, row: int, end: int) -> mx.array:
        """The same for a single row, without a mask: mlx's vector kernel serves decoding."""
        Hk, G, _, D = q.shape
        k, v = self._gathered(q, sequence, row, end)
        unseen = self._config.block_size - 1 - row % self._config.block_size
        k, v = (a[None, :, 0, : a.shape[2] - unseen] for a in (k, v))  # (1, Hk, S, D)
        q = q.reshape(1, Hk * G, 1, D)
        o = mx.fast.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return o.reshape(Hk, G, 1, D)

    def _gathered(
        self, q: mx.array, sequence: SparseSequence, row: int, end: int
    ) -> tuple[mx.array, mx.array]:
        """The keys and values of each row's blocks in order: (Hk, R, S, D) each.

        Rows from selected_tokens on all have the same number of blocks, the row's own one last.
        """
        chosen = self.choose(q, sequence, row, end)
        NB, K = chosen.shape[-1], self._config.selected_blocks
        index = mx.sort(mx.where(chosen, mx.arange(NB), NB), axis=-1)[..., :K]  # (Hk, R, K)
        size = self._config.block_size
        return _blocks(sequence.keys, index, size), _blocks(sequence.values, index, size)


def _cut(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    return [(a, min(a + size, stop)) for a in range(start, stop, size)]


def _blocks(buffer: Buffer, index: mx.array, size: int) -> mx.array:
    """index (Hk, R, K) of blocks of `size` tokens -> (Hk, R, K * size, D)."""
    assert buffer.storage is not None
    Hk, capacity, D = buffer.storage.shape
    n = capacity // size
    flat = index + (mx.arange(Hk) * n)[:, None, None]
    taken = mx.take(buffer.storage.reshape(Hk * n, size, D), flat, axis=0)
    return taken.reshape(*index.shape[:2], -1, D)
