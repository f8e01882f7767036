"""What encoder and decoder are made of. Names as in mlx-whisper's checkpoints."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from ominix.cpu import door

KeysValues = tuple[mx.array, mx.array]  # (B, H, K, D) each


class MultiHeadAttention(nn.Module):
    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.query = nn.Linear(n_state, n_state)
        self.key = nn.Linear(n_state, n_state, bias=False)
        self.value = nn.Linear(n_state, n_state)
        self.out = nn.Linear(n_state, n_state)
        self._n_head = n_head

    def __call__(self, x: mx.array, seen: KeysValues, mask: mx.array | None = None) -> mx.array:
        """(B, L, n_state) -> the same. `mask`, broadcast to (B, H, L, K): true where a position may look."""
        q = self._heads(self.query(x))  # (B, L, H, D)
        in_numpy = door.is_settled_for_cpu(self.out)
        joined: mx.array = self.out(door.attention(q, *seen, mask, in_numpy=in_numpy).reshape(x.shape))
        return joined

    def scores(self, x: mx.array, keys: mx.array, heads: list[int]) -> mx.array:
        """(B, L, n_state), (B, H, K, D) -> (B, heads, L, K): what the softmax over the keys would read."""
        q = self._heads(self.query(x)).transpose(0, 2, 1, 3)[:, mx.array(heads)]
        out: mx.array = q @ keys[:, mx.array(heads)].swapaxes(-1, -2) * q.shape[-1] ** -0.5
        return out

    def keys_values(self, x: mx.array) -> KeysValues:
        """(B, K, n_state) -> (B, H, K, D) twice."""
        k, v = (self._heads(project(x)).transpose(0, 2, 1, 3) for project in (self.key, self.value))
        return k, v

    def _heads(self, x: mx.array) -> mx.array:
        B, L, N = x.shape
        return x.reshape(B, L, self._n_head, N // self._n_head)


class Block(nn.Module):
    """The parts that the encoder's and the decoder's layers share."""

    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(n_state, n_head)
        self.attn_ln = nn.LayerNorm(n_state)
        self.mlp1 = nn.Linear(n_state, 4 * n_state)
        self.mlp2 = nn.Linear(4 * n_state, n_state)
        self.mlp_ln = nn.LayerNorm(n_state)
        self.act = nn.GELU()

    def feed_forward(self, x: mx.array) -> mx.array:
        out: mx.array = x + self.mlp2(self.act(self.mlp1(self.mlp_ln(x))))
        return out
