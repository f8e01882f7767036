"""What encoder and decoder are made of. Names as in mlx-whisper's checkpoints."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

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
        B, L, N = x.shape
        scale = (N // self._n_head) ** -0.5
        out = mx.fast.scaled_dot_product_attention(self.queries(x), *seen, scale=scale, mask=mask)
        joined: mx.array = self.out(out.transpose(0, 2, 1, 3).reshape(B, L, N))
        return joined

    def queries(self, x: mx.array) -> mx.array:
        """(B, L, n_state) -> (B, H, L, D)."""
        return self._heads(self.query(x))

    def keys_values(self, x: mx.array) -> KeysValues:
        """(B, K, n_state) -> (B, H, K, D) twice."""
        return self._heads(self.key(x)), self._heads(self.value(x))

    def _heads(self, x: mx.array) -> mx.array:
        B, L, N = x.shape
        return x.reshape(B, L, self._n_head, N // self._n_head).transpose(0, 2, 1, 3)


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
