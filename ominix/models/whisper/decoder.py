"""Whisper's decoder: tokens and encoded audio to the next token's logits, for many rows at once.

A row is an answer to a clip on its way to text; rows that answer the same clip are a group and share its
sound. Groups join and leave between steps; each row has its own length, and the cache is filled up on the
left so that all rows end in the same place. What a row computes does not depend on its neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import BatchKVCache

from ominix.models.whisper.config import Config, Heads
from ominix.models.whisper.layers import Block, KeysValues, MultiHeadAttention


class Cache:
    """What the decoder remembers: the tokens of each row, keys and values of each group's sound."""

    def __init__(self, audio: list[KeysValues], groups: int) -> None:
        """`audio`: one pair a layer. Each group has one row at first."""
        self.audio = audio
        self.text = [BatchKVCache([0] * groups) for _ in audio]
        self.sizes = [1] * groups  # rows of each group

    def extend(self, other: Cache) -> None:
        """The other's groups come behind ours."""
        self.sizes += other.sizes
        for mine, new in zip(self.text, other.text, strict=True):
            mine.extend(new)
        pairs = zip(self.audio, other.audio, strict=True)
        self.audio = [(mx.concatenate([k, k2]), mx.concatenate([v, v2])) for (k, v), (k2, v2) in pairs]

    def choose(self, groups: Mapping[int, Sequence[int]]) -> None:
        """Keeps these groups, in this order, and of each these of its rows; a row may come several times."""
        begins = [0, *itertools.accumulate(self.sizes)]
        rows = [begins[group] + row for group, chosen in groups.items() for row in chosen]
        if rows != list(range(begins[-1])):
            for cache in self.text:
                cache.filter(mx.array(rows, dtype=mx.uint32))
        if list(groups) != list(range(len(self.sizes))):
            kept = mx.array(list(groups), dtype=mx.uint32)
            self.audio = [(k[kept], v[kept]) for k, v in self.audio]
        self.sizes = [len(chosen) for chosen in groups.values()]

    def by_group(self, x: mx.array) -> mx.array:
        """(rows, 1, n) -> (groups, K, n), filled up with copies; as it is if all groups have one row."""
        most = max(self.sizes)
        if most == 1:
            return x
        begins = itertools.accumulate([0, *self.sizes[:-1]])
        places = [[b + min(i, s - 1) for i in range(most)] for b, s in zip(begins, self.sizes, strict=True)]
        return x[:, 0][mx.array(places)]

    def by_row(self, y: mx.array) -> mx.array:
        """The way back: (groups, K, n) -> (rows, 1, n)."""
        most = max(self.sizes)
        if most == 1:
            return y
        places = [i * most + j for i, size in enumerate(self.sizes) for j in range(size)]
        return y.reshape(-1, y.shape[-1])[mx.array(places)][:, None]


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
            x = block.with_audio(block.with_text(x, text, mask), audio, cache)
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
            x = block.with_audio(x, audio, cache)
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

    def with_audio(self, x: mx.array, audio: KeysValues, cache: Cache) -> mx.array:
        """The rows of a group look at its sound side by side, as the places of one row would."""
        y = self.cross_attn(cache.by_group(self.cross_attn_ln(x)), audio)
        return self.feed_forward(x + cache.by_row(y))
