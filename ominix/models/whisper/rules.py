"""Which token may come next. In: a row's logits and its tokens so far. Out: logits, -inf where forbidden.

OpenAI's rules, applied in this order:

- an answer does not begin with a space alone or with its end;
- symbols that describe sounds, and tokens that only a prompt holds, never occur;
- with timestamps: the first token is one of at most 1 s; they come in pairs, the end of a segment and the
  beginning of the next; they never decrease, and no segment is empty;
- if all timestamps together are likelier than the likeliest text, only a timestamp may follow.

Pure functions of numpy arrays; they know no network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary

Floats = npt.NDArray[np.float32]

_SPACE = 220
_LAST_FIRST_TIMESTAMP = 50  # 1.0 s: openai's max_initial_timestamp


class Rules:
    def __init__(self, vocabulary: Vocabulary, tokens: SpecialTokens, *, timestamps: bool) -> None:
        self._tokens = tokens
        self._timestamps = timestamps
        prompt_only = range(tokens.translate, tokens.no_timestamps)
        forbidden = [*vocabulary.symbols, tokens.start, *prompt_only]
        self._forbidden = np.array([*forbidden, tokens.no_timestamps] if timestamps else forbidden)

    def apply(self, logits: Floats, sampled: Sequence[int]) -> Floats:
        """(n_vocab,), and what was sampled after the prompt -> a copy with less."""
        allowed = logits.copy()
        if not sampled:
            allowed[[_SPACE, self._tokens.end]] = -np.inf
        allowed[self._forbidden] = -np.inf
        if self._timestamps:
            self._pair_timestamps(allowed, sampled)
            self._prefer_timestamps(allowed)
        return allowed

    def _pair_timestamps(self, logits: Floats, sampled: Sequence[int]) -> None:
        first = self._tokens.first_timestamp
        if not sampled:
            logits[:first] = -np.inf
            logits[first + _LAST_FIRST_TIMESTAMP + 1 :] = -np.inf
            return
        follows_timestamp = sampled[-1] >= first
        follows_two = follows_timestamp and (len(sampled) < 2 or sampled[-2] >= first)
        if follows_two:
            logits[first:] = -np.inf
        elif follows_timestamp:
            logits[: self._tokens.end] = -np.inf
        last = next((token for token in reversed(sampled) if token >= first), None)
        if last is not None:
            closes_pair = follows_timestamp and not follows_two
            logits[first : last if closes_pair else last + 1] = -np.inf

    def _prefer_timestamps(self, logits: Floats) -> None:
        first = self._tokens.first_timestamp
        text, times = logits[:first].max(), logits[first:]
        best = times.max()
        if np.isfinite(best) and best + np.log(np.exp(times - best).sum()) > text:
            logits[:first] = -np.inf


def log_softmax(logits: Floats) -> Floats:
    """(n,) -> (n,)."""
    shifted = logits - logits.max()
    total: np.float32 = np.log(np.exp(shifted).sum())
    return np.asarray(shifted - total, np.float32)
