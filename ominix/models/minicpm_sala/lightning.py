"""The lightning layer: linear attention with a constant decay per head.

    S <- gamma * S + k v^T,   o = scale * S^T q,   gamma_h = exp(-slope_h)

float32 throughout. One token takes the recurrence itself, several take its chunked form, which is
the same sum in another order: `simple_gla` of fla-org/flash-linear-attention.
"""

from __future__ import annotations

import math

import mlx.core as mx
from mlx import nn

from ominix.models.minicpm_sala.cache import LightningCache, Span
from ominix.models.minicpm_sala.config import ModelArgs

CHUNK = 128  # tokens; the work within a chunk grows with its square


def decay_slopes(H: int) -> list[float]:
    """ALiBi slopes of H heads (Press et al. 2022), fast decay first; the same in every layer."""
    P = 2 ** int(math.log2(H))  # the largest power of two
    slopes = [2 ** (-8 * (h + 1) / P) for h in range(P)]
    return slopes if P == H else slopes + decay_slopes(2 * P)[0::2][: H - P]


def recurrent_step(
    S: mx.array, q: mx.array, k: mx.array, v: mx.array, gamma: mx.array
) -> tuple[mx.array, mx.array]:
    """One token: S (B, H, Dk, Dv); q, k, v (B, H, 1, D); gamma (H, 1, 1).

    Returns o (B, H, 1, Dv) and the new S.
    """
    S = gamma * S + k.swapaxes(-1, -2) * v
    return q @ S, S


fused_step = mx.compile(recurrent_step)


def chunked(
    S: mx.array, q: mx.array, k: mx.array, v: mx.array, slopes: mx.array, seen: mx.array
) -> tuple[mx.array, mx.array]:
    """Many tokens: within a chunk as masked attention, between chunks through S.

    q, k, v (B, H, T, D); slopes (H,); seen (B or 1, T): how many of the row's own tokens there are
    up to and including each column. Padding repeats its neighbour's count, and its k must be zero:
    then it neither decays nor adds. Returns o (B, H, T, Dv) and S after the last column.
    """
    T = q.shape[2]
    outputs = []
    before = mx.zeros_like(seen[:, None, :1])
    for start in range(0, T, CHUNK):
        cut = slice(start, min(start + CHUNK, T))
        qc, kc, vc, at = (
            q[:, :, cut],
            k[:, :, cut],
            v[:, :, cut],
            seen[:, None, cut],
        )  # at (B, 1, c)
        end = at[..., -1:]
        since = _decay(slopes, (at - before)[..., None])  # (B, H, c, 1), of what S holds
        until = _decay(slopes, (end - at)[..., None])
        pairs = mx.tril(_decay(slopes, at[..., :, None] - at[..., None, :]))  # (B, H, c, c)
        outputs.append((qc @ kc.swapaxes(-1, -2) * pairs) @ vc + since * (qc @ S))
        S = since[:, :, -1:] * S + (kc * until).swapaxes(-1, -2) @ vc
        before = end
    return mx.concatenate(outputs, axis=2), S


def _decay(slopes: mx.array, distance: mx.array) -> mx.array:
    """gamma ** distance, distance (B, 1, m, n) -> (B, H, m, n).

    Always of a difference of positions: gamma ** -127 alone would overflow float32.
    """
    return mx.exp(-slopes[:, None, None] * mx.maximum(distance, 0))


class LightningAttention(nn.Module):
    def __init__(self, args: ModelArgs) -> None:
        super().__init__()
        self.heads, self.kv_heads, D = args.lightning_heads
        H, dim, bias = self.heads, args.hidden_size, args.attention_bias
        self.head_dim = D
        self.rope_theta = args.rope_theta if args.lightning_use_rope else None
        self.scale = {"1/sqrt(d)": D**-0.5, "1/d": 1 / D}.get(args.lightning_scale, 1.0)
        self._slopes = mx.array(decay_slopes(H))  # (H,), not a parameter
        self.q_proj = nn.Linear(dim, H * D, bias=bias)
        self.k_proj = nn.Linear(dim, self.kv_heads * D, bias=bias)
        self.v_proj = nn.Linear(dim, self.kv_heads * D, bias=bias)
        self.o_proj = nn.Linear(H * D, dim, bias=bias)
        if args.use_output_gate:
            self.z_proj = nn.Linear(dim, H * D, bias=bias)
        if args.use_output_norm:
            self.o_norm = nn.RMSNorm(H * D, eps=args.rms_norm_eps)
        if args.qk_norm:
            self.q_norm = nn.RMSNorm(D, eps=args.rms_norm_eps)
            self.k_norm = nn.RMSNorm(D, eps=args.rms_norm_eps)

    def __call__(self, x: mx.array, cache: LightningCache) -> mx.array:
        B, T, _ = x.shape
        spans = cache.take(B, T)
        q, k, v = self._heads(x, spans)  # (B, H, T, D) in float32
        S = cache.recurrent_state
        if S is None:
            S = mx.zeros((B, self.heads, self.head_dim, self.head_dim))
        o, cache.recurrent_state = self._recur(S, q * self.scale, k, v, spans)
        o = o.transpose(0, 2, 1, 3).reshape(B, T, -1).astype(x.dtype)
        if "o_norm" in self:
            o = self.o_norm(o)  # over all heads at once
        if "z_proj" in self:
            o = o * mx.sigmoid(self.z_proj(x))
        return self.o_proj(o)

    def _heads(self, x: mx.array, spans: list[Span]) -> tuple[mx.array, mx.array, mx.array]:
        B, T, _ = x.shape
        q, k, v = (p(x).reshape(B, T, -1, self.head_dim) for p in (self.q_proj, self.k_proj, self.v_proj))
        if "q_norm" in self:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (a.transpose(0, 2, 1, 3) for a in (q, k, v))
        if self.rope_theta is not None:
            q, k = self._rope(q, spans), self._rope(k, spans)
        repeats = self.heads // self.kv_heads
        if repeats > 1:
            k, v = mx.repeat(k, repeats, axis=1), mx.repeat(v, repeats, axis=1)
        return q.astype(mx.float32), k.astype(mx.float32), v.astype(mx.float32)

    def _rope(self, x: mx.array, spans: list[Span]) -> mx.array:
        positions = [span.position for span in spans]
        offset = positions[0] if len(set(positions)) == 1 else mx.array(positions)
        return mx.fast.rope(
            x, self.head_dim, traditional=False, base=self.rope_theta, scale=1.0, offset=offset
        )

    def _recur(
        self, S: mx.array, q: mx.array, k: mx.array, v: mx.array, spans: list[Span]
    ) -> tuple[mx.array, mx.array]:
        T = q.shape[2]
        padded = any(span.stop - span.start < T for span in spans)
        if T == 1 and not padded:
            return fused_step(S, q, k, v, mx.exp(-self._slopes)[:, None, None])
        column = mx.arange(T)
        if not padded:
            return chunked(S, q, k, v, self._slopes, column[None] + 1)
        start, stop = (mx.array([getattr(s, end) for s in spans])[:, None] for end in ("start", "stop"))
        own = (column >= start) & (column < stop)  # (B, T)
        return chunked(
            S,
            q,
            k * own[:, None, :, None],
            v,
            self._slopes,
            mx.clip(column + 1, start, stop) - start,
        )
