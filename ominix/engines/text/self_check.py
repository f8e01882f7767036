"""Which way of batching gives a model's own answers: asked of the model itself, once, at load.

A short prompt and a longer one go through the model one by one, then together; log-probabilities are
compared. 149 tiny checkpoints of mlx-lm's architectures differ by at most 5.6e-5 in float32, SmolLM2-135M by
2e-5. Wrong ones differ by 0.018 and more on the mean of the likeliest tokens, or raise: they let padding into
a recurrent state, or one row's mask into another row. A list of such architectures would go stale.

Most models cost it five passes on a few tokens, which also compile their kernels. What shows only after
thousands of tokens it cannot find: that is a fact of the family (families/mlx_lm.py).
"""

from __future__ import annotations

import logging
from dataclasses import replace

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from ominix.engines.text import text_model
from ominix.engines.text.batching import Batching, can_merge
from ominix.engines.text.executor import Executor
from ominix.engines.text.plan import Plan, Sequence
from ominix.engines.text.text_model import TextModel
from ominix.wire.jobs import Sampling

SIZES = (2, 12)  # tokens of the prompts: the first is nearly all padding beside the second
COMPARED = 32  # the likeliest tokens of each prompt,
AMONG = 2048  # which are looked for among so many
# Natural logarithms, on the mean: rounding moves single tokens further. Logits of half precision are rounded
# to steps of 1/8 (bfloat16) or 1/64 (float16) where they pass 16.
BOUNDS = {mx.float32: 0.005, mx.float16: 0.03, mx.bfloat16: 0.1}
# By the way of batching: with which token of the answers all rows have been computed together. Padded, they
# come out of one prefill. Unpadded, each joins the others when its own is done.
ANSWER_TOKENS = {Batching.PADDED: 1, Batching.UNPADDED: len(SIZES) + 1}

Logprobs = dict[int, float]  # by token

log = logging.getLogger("ominix.chat")


def batching(model: TextModel) -> Batching:
    """The fastest way that gives the same answers as one by one."""
    if not can_merge(make_prompt_cache(model.model)):
        log.warning("one request at a time: mlx-lm cannot join the caches of this model's sequences")
        return Batching.ONE_ROW
    for way, answer_tokens in ANSWER_TOKENS.items():
        trouble = _trouble(replace(model, batching=way), answer_tokens)
        if not trouble:
            return way
        log.info("prompts that are computed together, %s, would change answers: %s", way.value, trouble)
    log.warning("one request at a time: beside each other this model's sequences would get other answers")
    return Batching.ONE_ROW


def _trouble(model: TextModel, answer_tokens: int) -> str:
    """ "" if the answers are the same."""
    alone, bound = _alone(model, answer_tokens)
    try:
        together = _together(model, answer_tokens)
    except text_model.FAULTS as error:
        return text_model.reason(error)
    worst = max(_difference(*pair) for pair in zip(alone, together, strict=True))
    if model.batching is Batching.UNPADDED:
        bound *= 2  # one sequence at a time costs far more than a pass for each length
    return "" if worst <= bound else f"log-probabilities differ by {worst:.2g}"


def _difference(alone: Logprobs, together: Logprobs) -> float:
    found = [abs(value - together.get(token, -np.inf)) for token, value in alone.items()]
    return float(np.mean([value for value in found if not np.isnan(value)] or [0.0]))


def _prompts(model: TextModel) -> list[tuple[int, ...]]:
    """Tokens that differ; padding is token 0."""
    return [tuple((7 + 31 * i + 11 * size) % model.vocabulary for i in range(size)) for size in SIZES]


def _answer(model: TextModel) -> int:
    """The token that all answers consist of: a draw could go either way."""
    return next(token for token in range(1, model.vocabulary) if token not in model.stop_ids)


def _alone(model: TextModel, answer_tokens: int) -> tuple[list[Logprobs], float]:
    """What the last token of each answer is drawn from, and how far the same may lie from it."""
    found, dtype = [], mx.float32
    for prompt in _prompts(model):
        tokens = [*prompt, *[_answer(model)] * (answer_tokens - 1)]
        logits = model.model(mx.array([tokens]), cache=make_prompt_cache(model.model))[0, -1]
        dtype = logits.dtype
        logits = logits.astype(mx.float32)
        values = np.array(logits - mx.logsumexp(logits))
        found.append({int(i): float(values[i]) for i in np.argsort(-values)[:COMPARED]})
    return found, BOUNDS[dtype]


def _together(model: TextModel, answer_tokens: int) -> list[Logprobs]:
    prompts = _prompts(model)
    forced = Sampling(temperature=0, logit_bias={_answer(model): 1e4})
    joins = tuple(
        Sequence(i, prompt, answer_tokens, forced, seed=0, choice=0, top_logprobs=AMONG)
        for i, prompt in enumerate(prompts)
    )
    executor = Executor(model, 0, len(prompts))
    budget = max(SIZES) * len(SIZES)
    last: dict[int, Logprobs] = {}
    outcome = executor.run(Plan(joins=joins, prefill_tokens=budget))
    while len(last) < len(prompts):
        last |= {token.sequence_id: dict(token.logprobs[1:]) for token in outcome.tokens if token.finish}
        outcome = executor.run(Plan(prefill_tokens=budget))
    return [last[i] for i in range(len(prompts))]
