"""A budget for what a row of the batch thinks: a logits processor that ends the thought when it is spent.

    within the budget ----> is a thought open? --yes--> the tokens that close it, one a step --> done
    (nothing is read)        |        |
                             |        no: answered already --> done
                             +- nothing said yet: asked again at the next step

Tokens count from the answer's first one, marks included. Reading them waits for the model, which delays the
row's whole batch; so they are read once the budget is spent, and not before. Knows nothing of jobs.
"""

from __future__ import annotations

from collections import deque

import mlx.core as mx
import numpy as np

from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.detokenizer import Detokenizer
from ominix.engines.text.plan import Thinking
from ominix.models.answer_formats import ANSWER, HEADER, REASONING, AnswerFormat


class ThinkingBudget:
    def __init__(
        self, allowed: Thinking, format: AnswerFormat, detokenizer: Detokenizer, prompt_tokens: int
    ) -> None:
        self._closing = deque(allowed.closing)
        self._text = detokenizer.text()
        self._parser = AnswerParser(format, detokenizer.marks, begins=allowed.begins)
        self._read = prompt_tokens  # so many tokens were read, or need not be
        self._spent_at = prompt_tokens + allowed.most_tokens
        self._closes = False
        self._done = False

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """All tokens so far (n,), logits (1, V) -> (1, V)"""
        if not self._done and not self._closes and tokens.shape[0] >= self._spent_at:
            self._look(tokens)
        if not self._closes or not self._closing:
            return logits
        token = self._closing.popleft()
        return mx.where(mx.arange(logits.shape[-1])[None] == token, logits, -mx.inf)

    def _look(self, tokens: mx.array) -> None:
        answered = False
        for token in np.array(tokens[self._read :]):
            passages = self._parser.add(self._text.add(int(token)))
            answered |= any(passage.channel == ANSWER and passage.text.strip() for passage in passages)
        self._read = tokens.shape[0]
        self._closes = self._parser.state == REASONING
        self._done = answered or self._parser.state not in (ANSWER, HEADER, REASONING)
