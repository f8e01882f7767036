"""How much of a prompt to take in one step, so that no step takes long.

While answers are being written, a long prompt may hold them up only for a moment at a time; alone,
it may take longer steps, as long as a cancel can wait. Learns the model's speed as it goes.
"""

from __future__ import annotations

BESIDE_SECONDS = 0.25  # a step while other answers are being written,
BESIDE_TOKENS = 8  # or as long as so many of their tokens take, where a token takes long
ALONE_SECONDS = 2.0
FEWEST, MOST = 64, 2048  # tokens: fewer take nearly as long; more take memory
FIRST = 128


class PrefillPace:
    def __init__(self) -> None:
        self._tokens_per_second = 0.0
        self._decode_seconds = 0.0

    def step_tokens(self, beside: bool) -> int:
        """Prompt tokens for the coming step, over all prompts together."""
        if not self._tokens_per_second:
            return FIRST
        seconds = max(BESIDE_SECONDS, BESIDE_TOKENS * self._decode_seconds) if beside else ALONE_SECONDS
        return int(min(MOST, max(FEWEST, seconds * self._tokens_per_second)))

    def learn(self, prompt_tokens: int, decoded: int, seconds: float) -> None:
        """What the last step did and how long it took."""
        if prompt_tokens == 0:
            self._decode_seconds = _blend(self._decode_seconds, seconds)
        elif not decoded:
            self._learn_rate(prompt_tokens, seconds)
        elif self._decode_seconds:
            self._learn_rate(prompt_tokens, seconds - self._decode_seconds)

    def _learn_rate(self, tokens: int, seconds: float) -> None:
        if tokens >= FEWEST // 2 and seconds > 0:
            self._tokens_per_second = _blend(self._tokens_per_second, tokens / seconds)


def _blend(old: float, new: float) -> float:
    return new if not old else 0.7 * old + 0.3 * new
