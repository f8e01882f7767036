"""The prefill budget: how many prompt tokens one step may compute, so that no step takes long.

In: what the last step did, and its seconds. Out: prompt tokens for the next step. Beside running answers a
long prompt may hold them up only for a moment at a time; without any, a step may take as long as a cancel
can wait. A step costs one pass over the weights for prefill and one for decode; a pass takes as long as a
token of a single answer, and longer with each further answer and each prompt token: these three figures are
learned. Knows no clock and no sequences.
"""

from __future__ import annotations

DECODING_SECONDS = 0.25  # a step while answers are decoded,
DECODING_TOKENS = 8  # or as long as so many of their tokens take, where a token takes long
ALONE_SECONDS = 2.0
FEWEST, MOST = 64, 2048  # tokens: fewer take nearly as long; more take memory
# Until measured: prompt tokens prefilled in the time of a decoded one (small CPUs 20, GPUs more), and what
# part of that time each further answer adds (small CPUs a fifth, GPUs next to nothing).
FIRST_RATIO, FIRST_SHARE = 8, 0.1


class PrefillBudget:
    def __init__(self, token_seconds: float) -> None:
        """`token_seconds`: what one token of one answer takes, as measured once."""
        self.token_seconds = token_seconds
        self._share = FIRST_SHARE
        self._tokens_per_second = 0.0

    def tokens(self, decoding: int) -> int:
        """Prompt tokens for the next step, over all prompts together, beside so many answers."""
        decode = self._decode_seconds(decoding)
        seconds = max(DECODING_SECONDS, DECODING_TOKENS * decode) if decoding else ALONE_SECONDS
        rate = self._tokens_per_second or FIRST_RATIO / self.token_seconds
        return int(min(MOST, max(FEWEST, (seconds - decode - self.token_seconds) * rate)))

    def learn(self, prompt_tokens: int, passes: list[int], seconds: float) -> None:
        """What a step did and how long it took. `passes`: of each decode pass, how many answers it had."""
        if prompt_tokens >= FEWEST // 2:
            decode = self.token_seconds + sum(map(self._decode_seconds, passes))
            rate = prompt_tokens / max(seconds - decode, seconds / 4)
            self._tokens_per_second = _blend(self._tokens_per_second, rate)
        elif prompt_tokens or len(passes) != 1:
            return
        elif passes == [1]:
            self.token_seconds = _blend(self.token_seconds, seconds)
        else:
            share = max(0.0, seconds / self.token_seconds - 1) / (passes[0] - 1)
            self._share = _blend(self._share, share)

    def _decode_seconds(self, answers: int) -> float:
        return self.token_seconds * (1 + self._share * (answers - 1)) if answers else 0.0


def _blend(old: float, new: float) -> float:
    return new if not old else 0.7 * old + 0.3 * new
