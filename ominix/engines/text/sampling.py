"""Which token comes next: penalties on logits, then a draw.

Every sequence has a sampler of its own with a random stream of its own, so that an answer does not
depend on what else is in the batch. Greedy sequences have none. Knows nothing about text.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import deque
from collections.abc import Callable

import mlx.core as mx
import numpy as np

from ominix.wire.jobs import Sampling

# Of more candidates a nucleus is not made: sorting a whole vocabulary costs more than the model's
# last layer, and what lies beyond holds next to nothing.
MOST_CANDIDATES = 4096

GREEDY_BELOW = 1e-4  # a temperature that leaves nothing to chance; its inverse is no good number

Processor = Callable[[mx.array, mx.array], mx.array]  # all tokens so far (n,), logits (1, V) -> (1, V)


class Sampler:
    """Draws from log-probabilities (1, V): temperature, then top_k, top_p and min_p."""

    def __init__(self, sampling: Sampling, seed: int, index: int) -> None:
        self._sampling = sampling
        self._stream = f"{seed}:{index}"
        self._drawn = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        """(1, V) -> (1,)"""
        s = self._sampling
        x = logprobs.astype(mx.float32)
        x = (x - x.max(axis=-1, keepdims=True)) / s.temperature
        if s.min_p > 0:
            x = mx.where(x < math.log(s.min_p), -mx.inf, x)
        all_of_them = not 0 < s.top_k < x.shape[-1]
        if all_of_them and s.top_p >= 1:
            ids = mx.arange(x.shape[-1], dtype=mx.uint32)[None]
        else:
            ids = _largest(x, min(MOST_CANDIDATES, x.shape[-1]) if all_of_them else s.top_k).astype(mx.uint32)
            x = _nucleus(mx.take_along_axis(x, ids, axis=-1), s.top_p)
        best = mx.argmax(x + _gumbel(ids, *self._key()), axis=-1, keepdims=True)
        return mx.take_along_axis(ids, best, axis=-1)[:, 0]

    def _key(self) -> tuple[int, int]:
        """From the seed, the choice and the position alone: nothing is carried along."""
        name = f"{self._stream}:{self._drawn}".encode()
        self._drawn += 1
        digest = hashlib.blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")


def _gumbel(ids: mx.array, first: int, second: int) -> mx.array:
    """Gumbel noise, of each token's id and the key alone: the largest sum of logit and noise is a draw from
    the softmax (Gumbel, 1954).

    An inverse distribution function would go through the vocabulary in its order, so that a change of 1e-5
    in any logit moves the draw; here it only matters where the two largest sums lie as close as that.
    """
    bits = _mixed(_mixed(ids ^ mx.array(first, mx.uint32)) ^ mx.array(second, mx.uint32))
    # log1p of a number near 0, where floats lie closest, decides who is largest
    uniform = mx.minimum((bits.astype(mx.float32) + 0.5) * 2.0**-32, 1 - 2.0**-24)
    return -mx.log(-mx.log1p(-uniform))


def _mixed(bits: mx.array) -> mx.array:
    """Wellons' lowbias32, one to one on 32 bits: each bit of the result depends on all."""
    bits = (bits ^ (bits >> 16)) * mx.array(0x7FEB352D, mx.uint32)
    bits = (bits ^ (bits >> 15)) * mx.array(0x846CA68B, mx.uint32)
    return bits ^ (bits >> 16)


def sampler(sampling: Sampling, seed: int, index: int) -> Sampler | None:
    """None: greedy."""
    return Sampler(sampling, seed, index) if sampling.temperature > GREEDY_BELOW else None


def fresh_seed() -> int:
    return secrets.randbits(63)


def processors(sampling: Sampling, prompt_size: int) -> list[Processor]:
    """What changes the logits, nothing if the parameters ask for nothing."""
    found: list[Processor] = []
    if sampling.repetition_penalty != 1:
        found.append(_repetition(sampling.repetition_penalty))
    if sampling.frequency_penalty or sampling.presence_penalty:
        found.append(_openai(sampling.frequency_penalty, sampling.presence_penalty, prompt_size))
    if sampling.logit_bias:
        found.append(_bias(sampling.logit_bias))
    return found


class LogitsRecorder:
    """A first processor that keeps the model's own logits until their token is known."""

    def __init__(self) -> None:
        self._logits: deque[mx.array] = deque()

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        self._logits.append(logits)
        return logits

    def likeliest(self, token: int, count: int) -> list[tuple[int, float]]:
        """The oldest kept: `token` first, then the `count` likeliest tokens, with log-probabilities."""
        logits = self._logits.popleft().astype(mx.float32)
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        top = _largest(logprobs, min(count, logits.shape[-1])) if count else mx.zeros((1, 0), mx.uint32)
        ids = mx.concatenate([mx.array([[token]], mx.uint32), top.astype(mx.uint32)], axis=-1)
        values = mx.take_along_axis(logprobs, ids, axis=-1)
        mx.eval(ids, values)
        return [(int(i), float(v)) for i, v in zip(np.array(ids[0]), np.array(values[0]), strict=True)]


def _largest(x: mx.array, count: int) -> mx.array:
    """Indices of the `count` largest of (1, V), the largest first."""
    if count < x.shape[-1]:
        part = mx.argpartition(-x, kth=count - 1, axis=-1)[..., :count]
    else:
        part = mx.arange(count)[None]
    order = mx.argsort(-mx.take_along_axis(x, part, axis=-1), axis=-1)
    return mx.take_along_axis(part, order, axis=-1)


def _nucleus(kept: mx.array, top_p: float) -> mx.array:
    """The fewest of `kept` (1, n), descending, that reach top_p together; -inf for the others."""
    p = mx.softmax(kept, axis=-1)
    before = mx.cumsum(p, axis=-1) - p
    return mx.where(before < max(top_p, 1e-9), kept, -mx.inf)


def _repetition(penalty: float) -> Processor:
    """Of all tokens seen: positive logits are divided, negative ones multiplied (arXiv:1909.05858)."""

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        seen = tokens[None]
        x = mx.take_along_axis(logits, seen, axis=-1)
        return mx.put_along_axis(logits, seen, mx.where(x < 0, x * penalty, x / penalty), axis=-1)

    return process


def _openai(frequency: float, presence: float, prompt_size: int) -> Processor:
    """OpenAI's: logit - count * frequency - (count > 0) * presence, of the answer's own tokens."""

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        seen = tokens[None, prompt_size:]
        if not seen.shape[-1]:
            return logits
        counts = mx.zeros(logits.shape, logits.dtype).at[:, seen[0]].add(1)
        return logits - frequency * counts - presence * (counts > 0)

    return process


def _bias(bias: dict[int, float]) -> Processor:
    ids, values = mx.array(list(bias)), mx.array(list(bias.values()))

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        return logits.at[:, ids].add(values.astype(logits.dtype))

    return process
