"""The executor of the text engine: runs plans on the model, through mlx-lm's BatchGenerator.

In: a plan. Out: its outcome. It owns all arrays: the batch, and the caches that are kept for later prompts.
It decides nothing and reads no clock; what it draws depends on the seeds in the plans alone, so the same
plans give the same tokens again. Knows token ids, nothing of text or jobs.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch
from mlx_lm.models.cache import ChunkedKVCache, RotatingKVCache, can_trim_prompt_cache
from mlx_lm.sample_utils import greedy_sampler

from ominix.engines.text import constraint, sampling
from ominix.engines.text.batching import Batching, Caches
from ominix.engines.text.constraint import GrammarMask
from ominix.engines.text.plan import Outcome, Plan, Sequence, Token
from ominix.engines.text.prefix_cache import PrefixCache
from ominix.engines.text.sampling import LogitsRecorder, Processor
from ominix.engines.text.text_model import TextModel
from ominix.engines.text.thinking_budget import ThinkingBudget


@dataclass
class _Row:
    """A sequence in the batch, under the id that the BatchGenerator gave it."""

    sequence: Sequence
    uid: int
    cached: int  # prompt tokens that its caches held when it joined
    place: int  # prompt tokens that they hold now
    recorder: LogitsRecorder | None
    mask: GrammarMask | None = None

    @property
    def left(self) -> int:
        return len(self.sequence.tokens) - self.place

    @property
    def piece(self) -> int:
        """Prompt tokens up to where its prefill has to stop next."""
        stops = (*self.sequence.boundaries, len(self.sequence.tokens) - 1)
        return min(stop for stop in stops if stop > self.place) - self.place


class Executor:
    def __init__(self, model: TextModel, kept_bytes: int, most_sequences: int) -> None:
        """`kept_bytes`: the bound for caches that are kept for later prompts."""
        self._model = model.model
        self._format, self._detokenizer = model.format, model.detokenizer
        self._batching = model.batching
        self._grammars = model.grammars
        self._prefixes = PrefixCache(kept_bytes)
        self._rows: dict[int, _Row] = {}  # by uid
        self._fork_caches: dict[int, Caches] = {}  # by sequence id: their prompt's, until they join
        self._generator = BatchGenerator(
            model.model,
            stop_tokens=[[token] for token in model.stop_ids],
            completion_batch_size=model.batching.most(most_sequences),
            prefill_batch_size=model.batching.most(most_sequences),
        )
        empty = model.batching.new_caches(model.model)
        self._trims = can_trim_prompt_cache(empty)
        windows = [c.max_size for c in empty if isinstance(c, RotatingKVCache)]
        windows += [c.chunk_size for c in empty if isinstance(c, ChunkedKVCache)]
        self._window = min(windows, default=None)

    def saved_tokens(self, sequence: Sequence) -> int:
        """How many of its prompt's tokens need no prefill, as things are."""
        return self._prefixes.saved_tokens(sequence.tokens, sequence.caller.tenant)

    def needs_boundaries(self, prompt_tokens: int) -> bool:
        """Caches that can be trimmed can be cut anywhere later; only others must be kept at boundaries."""
        return not self._trims or (self._window is not None and prompt_tokens >= self._window)

    def synchronize(self) -> None:
        """Return when nothing computes any more: between two steps the next token already does."""
        mx.synchronize(self._generator.stream)

    def run(self, plan: Plan) -> Outcome:
        for sequence_id in plan.leaves:
            self._leave(sequence_id)
        cached = {sequence.id: self._join(sequence) for sequence in plan.joins}
        if not self._rows:
            return Outcome(cached, {})
        self._generator.prefill_step_size = self._piece(plan.prefill_tokens)
        prompts, answers = self._generator.next()
        prefilled = dict(self._prefilled(response) for response in prompts)
        return Outcome(cached, prefilled, tuple(self._token(response) for response in answers))

    def _piece(self, prefill_tokens: int) -> int:
        """At most so many tokens of each prompt, this step."""
        pieces = [row.piece for row in self._rows.values() if row.left > 1]
        most = max(1, prefill_tokens // max(1, len(pieces)))
        return min([most, *pieces]) if self._batching is Batching.UNPADDED else most

    def _join(self, sequence: Sequence) -> int:
        """How many of its prompt's tokens its caches hold."""
        caches, cached = self._fork_caches.pop(sequence.id, None), len(sequence.tokens) - 1
        if caches is None:
            caches, cached = self._prefixes.get(sequence.tokens, sequence.caller.tenant)
        if caches is not None and cached == len(sequence.tokens) - 1:
            self._keep_for_forks(sequence, caches)
        recorder = None if sequence.top_logprobs is None else LogitsRecorder()
        processors = [*sampling.processors(sequence.sampling, len(sequence.tokens)), *self._budget(sequence)]
        mask = self._mask(sequence)
        processors += [mask] if mask else []  # the last: what it leaves out nothing brings back
        cuts = [cached, *(b for b in sequence.boundaries if b > cached), len(sequence.tokens)]
        (uid,) = self._generator.insert_segments(
            [[list(sequence.tokens[a:b]) for a, b in itertools.pairwise(cuts)]],
            max_tokens=[sequence.max_tokens],
            caches=[self._batching.new_caches(self._model) if caches is None else caches],
            all_tokens=[list(sequence.tokens[:cached])],
            samplers=[sampling.sampler(sequence.sampling, sequence.seed, sequence.choice) or greedy_sampler],
            logits_processors=[[recorder, *processors] if recorder else processors],
        )
        self._rows[uid] = _Row(sequence, uid, cached, cached, recorder, mask)
        return cached

    def _budget(self, sequence: Sequence) -> list[Processor]:
        if sequence.thinking is None:
            return []
        size = len(sequence.tokens)
        return [ThinkingBudget(sequence.thinking, self._format, self._detokenizer, size)]

    def _mask(self, sequence: Sequence) -> GrammarMask | None:
        held = sequence.constraint
        if held is None:
            return None
        grammars = self._grammars
        matcher = grammars.matcher(held.grammar)
        return constraint.mask(
            matcher, self._format, self._detokenizer, grammars.encode, held.begins, held.calls
        )

    def _leave(self, sequence_id: int) -> None:
        """Free it, wherever it is; what it has computed is kept for later prompts."""
        self._fork_caches.pop(sequence_id, None)
        row = next((row for row in self._rows.values() if row.sequence.id == sequence_id), None)
        if row is None:
            return
        del self._rows[row.uid]
        caches, tokens = self._generator.remove([row.uid], return_prompt_caches=True)[row.uid]
        if row.place > row.cached:
            self._prefixes.put(tokens, caches, row.sequence.caller.tenant)

    def _prefilled(self, response: PromptProcessingBatch.Response) -> tuple[int, int]:
        row = self._rows[response.uid]
        done, _ = response.progress
        row.place = row.cached + done
        wanted = row.place in row.sequence.boundaries or (row.left == 1 and row.sequence.forks)
        if row.left and wanted:
            caches, tokens = self._generator.extract_cache([row.uid])[row.uid]
            if row.left == 1:
                self._keep_for_forks(row.sequence, caches)
            if row.place in row.sequence.boundaries:
                self._prefixes.put(list(tokens), caches, row.sequence.caller.tenant)
        return row.sequence.id, row.place

    def _keep_for_forks(self, sequence: Sequence, caches: Caches) -> None:
        for fork in sequence.forks:
            self._fork_caches[fork] = copy.deepcopy(caches)

    def _token(self, response: GenerationBatch.Response) -> Token:
        row = self._rows[response.uid]
        logprobs: tuple[tuple[int, float], ...] = ()
        if row.recorder:
            logprobs = tuple(row.recorder.likeliest(response.token, row.sequence.top_logprobs or 0))
        fault = row.mask.fault if row.mask else ""
        if response.finish_reason is not None:
            del self._rows[row.uid]
            tenant = row.sequence.caller.tenant
            self._prefixes.put(response.all_tokens or [], response.prompt_cache or [], tenant)
        return Token(row.sequence.id, int(response.token), response.finish_reason, logprobs, fault)
