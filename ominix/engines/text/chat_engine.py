"""Answers out of conversations: the chat engine.

Knows nothing about pipes or HTTP. Not thread-safe; the worker's main thread owns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from mlx_lm.models.cache import make_prompt_cache

from ominix.engines import memory
from ominix.engines.memory import MemoryLimits
from ominix.engines.text import chat_model, prompts, sampling
from ominix.engines.text.batch import Batch, Sequence, Token
from ominix.engines.text.chat_model import ChatModel
from ominix.engines.text.choice import Choice
from ominix.engines.text.prompts import Prompt
from ominix.errors import JobRefused, Unavailable
from ominix.wire.events import ChatDone, Event, Finished, Started
from ominix.wire.jobs import ChatJob, Job

LEAST_CONTEXT = 256  # tokens; a model with memory for fewer is of no use


@dataclass
class Talk:
    """A job on its way: its choices, each in its sequence until it is finished."""

    job_id: int
    prompt: Prompt
    choices: dict[Sequence, Choice]
    first: Sequence  # reads the prompt for all
    finished: list[Choice] = field(default_factory=list)

    def done(self) -> ChatDone:
        return ChatDone(
            prompt_tokens=len(self.prompt.tokens),
            completion_tokens=sum(choice.tokens for choice in self.finished),
            cached_tokens=self.first.cached,
            reasoning_tokens=sum(choice.thoughts for choice in self.finished),
        )


def load(path: Path, cache_bytes: int | None, package: str = "") -> ChatEngine:
    """Raises Unavailable for a folder that holds no model that can be served."""
    model = chat_model.load(path, package)
    if not all(hasattr(cache, "merge") for cache in make_prompt_cache(model.model)):  # as mlx-lm asks it
        raise Unavailable(f"the caches of {model.name} cannot be batched yet, so it cannot be served")
    space = memory.measure(model.model, cache_bytes)
    if space.most_tokens < LEAST_CONTEXT:
        raise Unavailable(f"{model.name} leaves no memory for a conversation")
    return ChatEngine(replace(model, context=min(model.context, space.most_tokens)), space)


class ChatEngine:
    def __init__(self, model: ChatModel, space: MemoryLimits) -> None:
        self._model = model
        self._batch = Batch(model, space)
        self._talks: dict[int, Talk] = {}
        self._seats: dict[Sequence, Talk] = {}
        self._started: list[int] = []

    @property
    def idle(self) -> bool:
        return not self._talks

    def admit(self, job_id: int, job: Job) -> None:
        if not isinstance(job, ChatJob):
            raise JobRefused(f"{self._model.name} is a chat model", param="model", code="unsupported_value")
        prompt = prompts.prompt(self._model, job)
        marks: list[int] = []
        if self._batch.wants_marks(len(prompt.tokens)):
            marks = prompts.boundaries(self._model, job, prompt.tokens)
        talk = self._talk(job_id, job, prompt, marks)
        self._talks[job_id] = talk
        self._seats |= dict.fromkeys(talk.choices, talk)
        self._started.append(job_id)
        self._batch.wait(talk.first)

    def cancel(self, job_id: int) -> None:
        talk = self._talks.pop(job_id, None)
        if talk is None:
            return
        self._started = [other for other in self._started if other != job_id]
        self._batch.leave(talk.choices)
        for sequence in talk.choices:
            del self._seats[sequence]

    def step(self) -> list[tuple[int, Event]]:
        if self._batch.await_company():
            return []
        events: list[tuple[int, Event]] = [(job_id, Started()) for job_id in self._started]
        self._started = []
        for token in self._batch.step() if self._talks else ():
            talk = self._seats[token.sequence]
            events += [(talk.job_id, event) for event in self._advance(talk, token)]
        return events

    def _talk(self, job_id: int, job: ChatJob, prompt: Prompt, marks: list[int]) -> Talk:
        seed = sampling.fresh_seed() if job.sampling.seed is None else job.sampling.seed
        choices = {}
        for index in range(job.n):
            choice = Choice(index, job, self._model, prompt.thinking)
            processors = sampling.processors(job.sampling, len(prompt.tokens))
            sequence = Sequence(
                prompt.tokens,
                prompt.max_tokens,
                sampling.sampler(job.sampling, seed, index),
                [choice.watcher, *processors] if choice.watcher else processors,
                marks,
            )
            choices[sequence] = choice
        first, *forks = choices
        first.forks = forks
        return Talk(job_id, prompt, choices, first)

    def _advance(self, talk: Talk, token: Token) -> list[Event]:
        choice = talk.choices[token.sequence]
        events = choice.take(token.token, "length" if token.last else None)
        if not isinstance(events[-1] if events else None, Finished):
            return events
        if not token.last:
            self._batch.leave([token.sequence])
        del talk.choices[token.sequence], self._seats[token.sequence]
        talk.finished.append(choice)
        if talk.choices:
            return events
        del self._talks[talk.job_id]
        return [*events, talk.done()]
