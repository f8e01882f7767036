"""What the scheduler and the executor of the text engine say to each other.

A plan goes down, its outcome comes back. Both hold plain values only (ids, token ids, numbers), so that a
plan can be sent over a pipe, kept, and run again: the same plans give the same tokens. Knows nothing of
mlx, text or jobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ominix.wire.jobs import NOBODY, Caller, Grammar, Sampling


@dataclass(frozen=True)
class Thinking:
    """What is allowed to one answer before it is given."""

    most_tokens: int
    begins: str | None  # the answer's state where the prompt has written a mark; see prompts.Prompt
    closing: tuple[int, ...]  # the tokens that end a thought


@dataclass(frozen=True)
class Constraint:
    """The grammar of one answer."""

    grammar: Grammar
    begins: str | None  # as in Thinking
    calls: tuple[str, ...] = ()  # marks that open calls of tools, which may stand instead of the answer


@dataclass(frozen=True)
class Sequence:
    """One row of the batch: a prompt, and the answer that is decoded behind it."""

    id: int
    tokens: tuple[int, ...]  # the prompt
    max_tokens: int  # of the answer
    sampling: Sampling
    seed: int
    choice: int  # seed and choice together name a random stream
    top_logprobs: int | None = None  # None: no log-probabilities; 0: those of the chosen tokens alone
    boundaries: tuple[int, ...] = ()  # beginnings of the prompt, by length, whose caches are kept
    forks: tuple[int, ...] = ()  # ids of sequences with the same prompt: they join where its prefill ends
    caller: Caller = NOBODY
    thinking: Thinking | None = None  # None: as long as it likes
    constraint: Constraint | None = None  # None: the answer is free


@dataclass(frozen=True)
class Plan:
    """One step: some leave, some join, then prompts get a piece of prefill and answers a token.

    With `wait_seconds` the plan holds nothing else: wait so long, then ask for the next one.
    """

    wait_seconds: float = 0.0
    leaves: tuple[int, ...] = ()
    joins: tuple[Sequence, ...] = ()
    prefill_tokens: int = 0  # of all prompts together, each piece padded to the longest


@dataclass(frozen=True)
class Token:
    """The next token of an answer."""

    sequence_id: int
    token: int
    finish: str | None = None  # "stop" or "length" when the sequence has left the batch with this token
    logprobs: tuple[tuple[int, float], ...] = ()  # (token, log-probability): its own, then the likeliest
    fault: str = ""  # why the answer can no longer be held to its grammar


@dataclass(frozen=True)
class Outcome:
    """What a step did, by sequence id. Prompt tokens are counted from the prompt's beginning."""

    cached: Mapping[int, int]  # of each that joined: prompt tokens whose caches were there already
    prefilled: Mapping[int, int]  # of each prompt that went on: prompt tokens that its caches hold now
    tokens: tuple[Token, ...] = ()
