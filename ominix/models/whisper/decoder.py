"""Whisper's decoder: tokens and encoded audio to the next token's logits, for many rows at once.

A row is one clip on its way to text. Rows join and leave between steps; each has its own length, and the
cache is filled up on the left so that all rows end in the same place. What a row computes does not depend
on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import BatchKVCache

from ominix.models.whisper.config import Config, Heads
from ominix.models.whisper.layers import Block, KeysValues, MultiHeadAttention


class Cache:
    """What the decoder remembers of its rows: their tokens, and the encoded audio's keys and values."""

    def __init__(self, audio: list[KeysValues], rows: int) -> None:
        """`audio`: one pair a layer."""
        self.audio = audio
        self.text = [BatchKVCache([0] * rows) for _ in audio]

    def extend(self, other: Cache) -> None:
        """The other's rows come behind ours."""
        for mine, new in zip(self.text, other.text, strict=True):
            mine.extend(new)
        pairs = zip(self.audio, other.audio, strict=True)
        self.audio = [(mx.concatenate([k, k2]), mx.concatenate([v, v2])) for (k, v), (k2, v2) in pairs]

    def choose(self, rows: Sequence[int]) -> None:
        """Keeps these rows, in this order; one may come several times."""
        chosen = mx.array(list(rows), dtype=mx.uint32)
        for cache in self.text:
            cache.filter(chosen)
        self.audio = [(k[chosen], v[chosen]) for k, v in self.audio]


class TextDecoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        n = config.n_text_state
        self.token_embedding = nn.Embedding(config.n_vocab, n)
        self.positional_embedding = mx.zeros((config.n_text_ctx, n))
        self.blocks = [DecoderBlock(n, config.n_text_head) for _ in range(config.n_text_layer)]
        self.ln = nn.LayerNorm(n)

    def listen(self, encoded: mx.array) -> Cache:
        """(B, n_audio_ctx, n_state) -> a cache of B rows without tokens."""
        return Cache([block.cross_attn.keys_values(encoded) for block in self.blocks], len(encoded))

    def prefill(self, prompts: Sequence[Sequence[int]], cache: Cache) -> mx.array:
        """Prompts into a cache without tokens -> states (B, longest, n_state), filled on the right."""
        lengths = [len(prompt) for prompt in prompts]
        padding = [max(lengths) - length for length in lengths]
        for text in cache.text:
            text.prepare(lengths=lengths, right_padding=padding)
        states = self([[*p, *[0] * more] for p, more in zip(prompts, padding, strict=True)], cache)
        for text in cache.text:
            text.finalize()
        return states

    def __call__(self, tokens: Sequence[Sequence[int]], cache: Cache) -> mx.array:
        """(B, L) -> states (B, L, n_state). Lazy; the cache grows."""
        x, mask = self._embed(tokens, cache)
        for block, text, audio in zip(self.blocks, cache.text, cache.audio, strict=True):
            x = block.with_audio(block.with_text(x, text, mask), audio)
        out: mx.array = self.ln(x)
        return out

    def attention_scores(self, tokens: Sequence[Sequence[int]], cache: Cache, heads: Heads) -> mx.array:
        """(B, L) -> (B, heads, L, n_audio_ctx): how some heads look at the audio, before their softmax.

        Scores of other heads are not kept, layers above the last of these are not run.
        """
        x, mask = self._embed(tokens, cache)
        found: list[mx.array] = []
        for number in range(1 + max(layer for layer, _ in heads)):
            block, audio = self.blocks[number], cache.audio[number]
            x = block.with_text(x, cache.text[number], mask)
            if chosen := [head for layer, head in heads if layer == number]:
                found.append(block.cross_attn.scores(block.cross_attn_ln(x), audio[0], chosen))
            x = block.with_audio(x, audio)
        return mx.concatenate(found, axis=1)

    def _embed(self, tokens: Sequence[Sequence[int]], cache: Cache) -> tuple[mx.array, mx.array]:
        """(B, L) -> (B, L, n_state), and which places each may see."""
        ids = mx.array([list(row) for row in tokens], dtype=mx.uint32)
        places = cache.text[0].offset[:, None] + mx.arange(ids.shape[1])  # (B, L)
        x = self.token_embedding(ids)
        mask = cache.text[0].make_mask(ids.shape[1])
        return x + self.positional_embedding[places].astype(x.dtype), mask

    def logits(self, states: mx.array) -> mx.array:
        """(..., n_state) -> (..., n_vocab)."""
        out: mx.array = self.token_embedding.as_linear(states)
        return out


class DecoderBlock(Block):
    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__(n_state, n_head)
        self.cross_attn = MultiHeadAttention(n_state, n_head)
        self.cross_attn_ln = nn.LayerNorm(n_state)

    def with_text(self, x: mx.array, text: BatchKVCache, mask: mx.array) -> mx.array:
        """(B, L, n_state) -> the same, after a look at the tokens so far. The cache grows."""
        y = self.attn_ln(x)
        out: mx.array = x + self.attn(y, text.update_and_fetch(*self.attn.keys_values(y)), mask)
        return out

    def with_audio(self, x: mx.array, audio: KeysValues) -> mx.array:
        return self.feed_forward(x + self.cross_attn(self.cross_attn_ln(x), audio))
