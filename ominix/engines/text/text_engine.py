"""The text engine: chat jobs in, their events out.

A job's prompt is made on a thread of its own (preparation). Then the job becomes one sequence for each of its
choices; the scheduler plans their steps, the executor runs them, and the tokens that come back become events
here. Between the two stands the clock: the engine measures the
steps, in seconds, and waits when the plan says so. Knows nothing of pipes or HTTP. Not thread-safe; the
worker's main thread owns it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from ominix.cpu import threads
from ominix.cpu.backend import Backend
from ominix.cpu.threads import Threads
from ominix.engines import memory
from ominix.engines.memory import MemoryLimits
from ominix.engines.text import prompts, sampling, self_check, text_model, tool_prompt
from ominix.engines.text.answers import Choice
from ominix.engines.text.batching import Batching
from ominix.engines.text.channels import AnswerParser
from ominix.engines.text.executor import Executor
from ominix.engines.text.plan import Constraint, Outcome, Plan, Sequence, Thinking, Token
from ominix.engines.text.preparation import Preparation, Prepared
from ominix.engines.text.prompts import Prompt
from ominix.engines.text.scheduler import MOST_SEQUENCES, Scheduler
from ominix.engines.text.text_model import TextModel
from ominix.engines.text.tool_calls import CallIds, ToolCalls
from ominix.errors import InferenceFailed, JobRefused, Unavailable
from ominix.fairness import guests
from ominix.wire.events import ChatDone, Event, Failed, Finished, Refused, Started
from ominix.wire.jobs import ChatJob, Job

PREPARATION_SECONDS = 0.05  # how long a step waits for a prompt when nothing else runs
LEAST_CONTEXT = 256  # tokens; a model with memory for fewer is of no use

log = logging.getLogger("ominix.chat")

Clock = Callable[[], float]  # seconds, from any beginning


@dataclass
class RunningJob:
    """A job aboard: its choices, by sequence id, until they have finished."""

    job_id: int
    prompt_tokens: int
    choices: dict[int, Choice]
    first: int  # the sequence that prefills the prompt for all
    cached_tokens: int = 0  # of its prompt
    passes: int = 0  # of the model, for any of its sequences
    finished: list[Choice] = field(default_factory=list)

    def done(self) -> ChatDone:
        return ChatDone(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=sum(choice.tokens for choice in self.finished),
            cached_tokens=self.cached_tokens,
            reasoning_tokens=sum(choice.reasoning_tokens for choice in self.finished),
        )


class TextEngine:
    def __init__(
        self,
        model: TextModel,
        scheduler: Scheduler,
        executor: Executor,
        blas_threads: Threads | None = None,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._executor = executor
        self._blas_threads = blas_threads
        self._clock = clock
        self._sleep = sleep
        self._preparation = Preparation(self._prepared)
        self._ids = itertools.count()
        self._jobs: dict[int, RunningJob] = {}
        self._by_sequence: dict[int, RunningJob] = {}
        self._started: list[int] = []

    @property
    def idle(self) -> bool:
        return self._scheduler.idle and self._preparation.idle

    def admit(self, job_id: int, job: Job) -> None:
        if not isinstance(job, ChatJob):
            raise JobRefused(f"{self._model.name} is a chat model", param="model", code="unsupported_value")
        prompts.check(self._model, job)
        self._preparation.submit(job_id, job)

    def _prepared(self, job: ChatJob) -> Prepared:
        """On the thread of the preparation."""
        if job.grammar:
            self._model.grammars.matcher(job.grammar)
        prompt = prompts.prompt(self._model, job)
        boundaries: tuple[int, ...] = ()
        if self._executor.needs_boundaries(len(prompt.tokens)):
            boundaries = prompts.boundaries(self._model, job, prompt.tokens)
        return Prepared(prompt, boundaries)

    def _add_prepared(self) -> list[tuple[int, Event]]:
        """Jobs whose prompts are made go to the scheduler; the events are of those that cannot be."""
        events: list[tuple[int, Event]] = []
        for outcome in self._preparation.done(0.0 if self._scheduler.runs else PREPARATION_SECONDS):
            if outcome.prepared:
                self._add_job(outcome.job_id, outcome.job, outcome.prepared)
            elif outcome.error:
                events.append((outcome.job_id, _last(outcome.error)))
        return events

    def _add_job(self, job_id: int, job: ChatJob, prepared: Prepared) -> None:
        prompt = prepared.prompt
        first, *forks = self._sequences(job, prepared)
        choices = {sequence.id: self._choice(sequence.choice, job, prompt) for sequence in (first, *forks)}
        self._jobs[job_id] = running = RunningJob(job_id, len(prompt.tokens), choices, first.id)
        self._by_sequence |= dict.fromkeys(choices, running)
        self._started.append(job_id)
        self._scheduler.add(first, self._executor.saved_tokens(first), self._clock(), forks)

    def cancel(self, job_id: int) -> None:
        self._preparation.cancel(job_id)
        job = self._jobs.pop(job_id, None)
        if job is None:
            return
        self._started = [other for other in self._started if other != job_id]
        self._scheduler.leave(job.choices)
        for sequence_id in job.choices:
            del self._by_sequence[sequence_id]

    def step(self) -> list[tuple[int, Event]]:
        refusals = self._add_prepared()
        if self._scheduler.idle:
            return refusals
        plan = self._scheduler.plan(self._clock())
        if plan.wait_seconds > 0:
            self._sleep(plan.wait_seconds)
            return refusals
        events = refusals + [(job_id, Started()) for job_id in self._started]
        self._started = []
        for token in self._run(plan).tokens:
            job = self._by_sequence.get(token.sequence_id)
            if job is None:  # it failed with an earlier token of this step
                continue
            events += [(job.job_id, event) for event in self._add(job, token)]
        return events

    def progress(self) -> Mapping[int, int]:
        running, at_work = self._scheduler.running, self._preparation.at_work
        passes = {job_id: job.passes for job_id, job in self._jobs.items() if running & job.choices.keys()}
        return passes if at_work is None else {at_work: 0, **passes}

    def _sequences(self, job: ChatJob, prepared: Prepared) -> list[Sequence]:
        """One for each choice; all but the first are its forks."""
        prompt = prepared.prompt
        seed = sampling.fresh_seed() if job.sampling.seed is None else job.sampling.seed
        ids = tuple(itertools.islice(self._ids, job.n))
        first = Sequence(
            id=ids[0],
            tokens=prompt.tokens,
            max_tokens=prompt.max_tokens,
            sampling=job.sampling,
            seed=seed,
            choice=0,
            top_logprobs=job.top_logprobs,
            boundaries=prepared.boundaries,
            caller=job.caller,
            thinking=self._thinking(job, prompt),
            constraint=_constraint(job, prompt),
        )
        forks = [replace(first, id=ids[choice], choice=choice, boundaries=()) for choice in range(1, job.n)]
        return [replace(first, forks=ids[1:]), *forks]

    def _thinking(self, job: ChatJob, prompt: Prompt) -> Thinking | None:
        if job.max_thinking_tokens is None or not self._model.closing:
            return None
        return Thinking(job.max_thinking_tokens, prompt.begins, self._model.closing)

    def _choice(self, index: int, job: ChatJob, prompt: Prompt) -> Choice:
        model = self._model
        calls = None
        if prompt.call_format:
            ids = CallIds(job.messages, short=prompt.call_format.short_ids)
            tools = tool_prompt.shown(job.tools)
            calls = ToolCalls(prompt.call_format, tools, ids, index=index, parallel=job.parallel_tool_calls)
        parser = AnswerParser(
            model.format,
            model.detokenizer.marks,
            begins=prompt.begins,
            stops=job.stop,
            calls=calls.marks if calls else (),
            held=job.grammar is not None,
        )
        return Choice(index, model.detokenizer, parser, calls)

    def _run(self, plan: Plan) -> Outcome:
        if self._blas_threads and self._blas_threads.due:
            self._executor.synchronize()
            self._blas_threads.tune()
        begun = self._clock()
        outcome = self._executor.run(plan)
        self._scheduler.learn(plan, outcome, self._clock() - begun)
        for sequence_id in {*outcome.prefilled, *(token.sequence_id for token in outcome.tokens)}:
            self._by_sequence[sequence_id].passes += 1
        for sequence_id, cached in outcome.cached.items():
            job = self._by_sequence[sequence_id]
            if sequence_id == job.first:
                job.cached_tokens = cached
        return outcome

    def _add(self, job: RunningJob, token: Token) -> list[Event]:
        if token.fault:
            self.cancel(job.job_id)
            return [Failed(f"the answer could not be held to its grammar: {token.fault}", is_final=True)]
        choice = job.choices[token.sequence_id]
        events = choice.add(token)
        if not isinstance(events[-1] if events else None, Finished):
            return events
        if not token.finish:  # a stop string: the batch does not know of it
            self._scheduler.leave([token.sequence_id])
        del job.choices[token.sequence_id], self._by_sequence[token.sequence_id]
        job.finished.append(choice)
        if job.choices:
            return events
        del self._jobs[job.job_id]
        return [*events, job.done()]


def _constraint(job: ChatJob, prompt: Prompt) -> Constraint | None:
    if job.grammar is None:
        return None
    marks = prompt.call_format.marks if prompt.call_format else ()
    calls = tuple(mark.start for mark in marks if not mark.first)
    return Constraint(job.grammar, prompt.begins, calls)


def _last(error: BaseException) -> Event:
    """The end of a job whose prompt cannot be made."""
    if isinstance(error, JobRefused):
        return Refused(error.message, error.param, error.code)
    if isinstance(error, InferenceFailed):
        return Failed(error.message)
    log.error("a prompt could not be made", exc_info=error)
    return Failed(f"the messages make no prompt: it failed with {type(error).__name__}", is_final=True)


def load(
    path: Path,
    backend: Backend,
    cache_bytes: int | None,
    package: str = "",
    *,
    one_row: bool = False,
    raw_prompts: bool = False,
) -> TextEngine:
    """`one_row`: its family says that sequences cannot be computed together.

    Raises Unavailable for a folder that holds no model that can be served.
    """
    model = text_model.load(path, backend, package, raw_prompts=raw_prompts)
    model.chat_tokenizer.start()
    blas_threads = threads.find()
    try:
        limits = memory.measure(model.model, cache_bytes)
        if limits.most_tokens < LEAST_CONTEXT:
            raise Unavailable(f"{model.name} leaves no memory for a conversation")
        if one_row:
            log.warning("one request at a time: sequences of such a model change each other")
            model = replace(model, batching=Batching.ONE_ROW)
        elif not package:  # tests hold ours to it
            with blas_threads.one() if blas_threads else contextlib.nullcontext():
                model = replace(model, batching=self_check.batching(model))
        model = replace(model, context=min(model.context, limits.most_tokens))
        return assembled(model, limits, blas_threads)
    except text_model.FAULTS as error:  # what a model cannot do shows when it first runs
        raise Unavailable(f"{model.name} cannot be run: {text_model.reason(error)}") from error


def assembled(model: TextModel, limits: MemoryLimits, blas_threads: Threads | None = None) -> TextEngine:
    """An engine on a loaded model, within these limits."""
    most = model.batching.most(MOST_SEQUENCES)
    scheduler = Scheduler(_token_seconds(model.model, time.perf_counter), limits.holds, most)
    executor = Executor(model, limits.kept_bytes, MOST_SEQUENCES + guests(MOST_SEQUENCES))
    return TextEngine(model, scheduler, executor, blas_threads or threads.find())


def _token_seconds(model: nn.Module, clock: Clock) -> float:
    """What a token takes, once the model has run: before, there may be kernels to compile."""
    caches = make_prompt_cache(model)
    begun = clock()
    mx.eval(model(mx.array([[0]]), cache=caches), [cache.state for cache in caches])
    return clock() - begun
