"""Grammars of one model: each is tried once, compiled once for the model's tokenizer, and kept for others.

    text --trial, in a child--> compiled, on the preparation's thread --copied--> one for each row

Knows nothing of batches and logits.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

from llguidance import LLMatcher, LLTokenizer
from mlx_lm.tokenizer_utils import TokenizerWrapper

from ominix.errors import JobRefused
from ominix.grammars import compiler
from ominix.grammars.judge import judge
from ominix.wire.jobs import Grammar

MOST_KEPT = 64


class GrammarTable:
    """The preparation's thread fills it, the engine's reads it."""

    def __init__(
        self,
        name: str,
        tokenizer: TokenizerWrapper,
        vocabulary: int,
        stop_ids: Collection[int],
        judge: Callable[[Grammar], None] = judge,
    ) -> None:
        """`name`: the model's. `vocabulary`: logits of a position. `judge` raises JobRefused."""
        self._name = name
        self._tokenizer = tokenizer
        self._size = max(vocabulary, len(tokenizer))
        self._stop_ids = sorted(stop_ids)
        self._judge = judge
        self._own: LLTokenizer | None = None
        self._kept: OrderedDict[Grammar, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()  # guards _kept; nothing is compiled under it

    @property
    def tokenizer(self) -> LLTokenizer:
        """The model's own, as llguidance has it: made with the first grammar, in a second or more.

        Raises JobRefused for one that llguidance cannot take.
        """
        if self._own is None:
            self._own = self._built()
        return self._own

    def matcher(self, grammar: Grammar) -> LLMatcher:
        """One at the beginning of an answer. Raises JobRefused for a grammar that cannot be obeyed."""
        with self._lock:
            kept = self._kept.get(grammar)
        if kept is None:
            tokenizer = self.tokenizer
            self._judge(grammar)
            kept = compiler.compiled(tokenizer, grammar)
        with self._lock:
            self._kept[grammar] = kept
            self._kept.move_to_end(grammar)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return kept.deep_copy()

    def encode(self, text: str) -> list[int]:
        """Without special tokens around it."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _built(self) -> LLTokenizer:
        if not self._stop_ids:
            raise self._refusal("no token ends its answers")
        try:
            backend = json.loads(self._tokenizer._tokenizer.backend_tokenizer.to_str())
            backend |= {"padding": None, "truncation": None}
            return LLTokenizer(json.dumps(backend), n_vocab=self._size, eos_token=self._stop_ids)
        except AttributeError:
            raise self._refusal("its tokenizer is not of the tokenizers library") from None
        except (ValueError, TypeError, RuntimeError, LookupError) as error:
            reason = " ".join(str(error).split())[: compiler.MOST_REASON_CHARS]
            raise self._refusal(f"of its tokenizer: {reason}") from None

    def _refusal(self, reason: str) -> JobRefused:
        return JobRefused(
            f"{self._name} cannot be held to a grammar: {reason}",
            param="response_format",
            code="unsupported_value",
        )
