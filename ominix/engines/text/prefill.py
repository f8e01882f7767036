"""How much of a prompt to take in one step, so that no step takes long.

While answers are being written, a long prompt may hold them up only for a moment at a time; alone,
it may take longer steps, as long as a cancel can wait. Every pass over the weights takes as long as a token
of an answer, and longer with each token of a prompt: both are learned as it goes.
"""

from __future__ import annotations

import time

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

BESIDE_SECONDS = 0.25  # a step while other answers are being written,
BESIDE_TOKENS = 8  # or as long as so many of their tokens take, where a token takes long
ALONE_SECONDS = 2.0
COMPANY_SECONDS = 0.01  # at most
FEWEST, MOST = 64, 2048  # tokens: fewer take nearly as long; more take memory
# Until measured: prompt tokens read in the time of a written one (small CPUs read 20, GPUs more), and what
# part of that time each further answer adds (small CPUs a fifth, GPUs next to nothing).
FIRST_RATIO, FIRST_SHARE = 8, 0.1


class PrefillPace:
    def __init__(self, token_seconds: float) -> None:
        """`token_seconds`: what one token of one answer takes."""
        self._token_seconds = token_seconds
        self._share = FIRST_SHARE
        self._tokens_per_second = 0.0

    @property
    def company_seconds(self) -> float:
        """How long to wait after an arrival while nothing runs: those who come together read together.
        Short beside the time to the first token."""
        return min(COMPANY_SECONDS, self._token_seconds / 5)

    def step_tokens(self, answers: int) -> int:
        """Prompt tokens for the coming step, over all prompts together, beside so many answers."""
        token = self._pass_seconds(answers)
        seconds = max(BESIDE_SECONDS, BESIDE_TOKENS * token) if answers else ALONE_SECONDS
        rate = self._tokens_per_second or FIRST_RATIO / self._token_seconds
        return int(min(MOST, max(FEWEST, (seconds - token - self._token_seconds) * rate)))

    def learn(self, prompt_tokens: int, passes: list[int], seconds: float) -> None:
        """What the last step did and how long it took. `passes`: in how many answers each wrote a token."""
        if prompt_tokens >= FEWEST // 2:
            writing = self._token_seconds + sum(map(self._pass_seconds, passes))
            rate = prompt_tokens / max(seconds - writing, seconds / 4)
            self._tokens_per_second = _blend(self._tokens_per_second, rate)
        elif prompt_tokens or len(passes) != 1:
            return
        elif passes == [1]:
            self._token_seconds = _blend(self._token_seconds, seconds)
        else:
            share = max(0.0, seconds / self._token_seconds - 1) / (passes[0] - 1)
            self._share = _blend(self._share, share)

    def _pass_seconds(self, answers: int) -> float:
        return self._token_seconds * (1 + self._share * (answers - 1)) if answers else 0.0


def token_seconds(model: nn.Module) -> float:
    """What a token takes, once the model has run: before, there may be kernels to compile."""
    caches = make_prompt_cache(model)
    begun = time.perf_counter()
    mx.eval(model(mx.array([[0]]), cache=caches), [cache.state for cache in caches])
    return time.perf_counter() - begun


def _blend(old: float, new: float) -> float:
    return new if not old else 0.7 * old + 0.3 * new
