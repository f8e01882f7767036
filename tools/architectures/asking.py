"""Two ways to ask a checkpoint the same: mlx-lm's own generate_step, and the product's text engine.

The engine is built as a worker builds it. Two things are taken from it, so that each run is the same: all
prompts are made before the first step, and its clock advances by a fixed time a look, which decides into
which pieces prompts are cut.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

from ominix.engines import text
from ominix.families.family import UNKNOWN
from ominix.families.table import KNOWN
from ominix.library import checkpoint
from ominix.library.model import Model
from ominix.wire.events import ChatDone, Delta, Event, Failed, Finished, Refused
from ominix.wire.jobs import ChatJob, Message, Sampling
from tools.architectures.checkpoints import END, SPECIAL, START

LARGE_PIECES, SMALL_PIECES = 1e-4, 1.0  # seconds that the engine believes a step to take
MOST_STEPS = 5000
Step = tuple[int, np.ndarray]  # a token and all log-probabilities (V,)
Turns = tuple[str, ...]  # of a conversation: user, assistant, user ...


class Trouble(Exception):
    """What cannot be, in a sentence."""


def tokens(turns: Turns) -> list[int]:
    """What the template makes of them."""
    roles = ["user", "assistant"] * len(turns)
    written: list[int] = []
    for role, content in zip(roles, turns, strict=False):
        written += [START, *f"{role}\n{content}".encode(), END, 10]
    return [*written, START, *b"assistant\n"]


@dataclass(frozen=True)
class Answer:
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    reason: str
    completion_tokens: int
    cached_tokens: int


class Reference:
    """mlx-lm's generate_step, one prompt at a time, in float32."""

    def __init__(self, folder: Path) -> None:
        self._model, _ = load_model(folder)
        self._model.set_dtype(mx.float32)
        self._known: dict[tuple[Turns, int], tuple[list[Step], int]] = {}  # with the size asked for

    @property
    def caches(self) -> str:
        """By kind: 2R+2K."""
        kinds = [type(cache).__name__ for cache in make_prompt_cache(self._model)]
        letters = [
            {"KVCache": "K", "RotatingKVCache": "R", "ArraysCache": "S", "MambaCache": "S"}.get(kind, kind)
            for kind in _unnested(kinds, make_prompt_cache(self._model))
        ]
        return "+".join(f"{letters.count(letter)}{letter}" for letter in dict.fromkeys(letters))

    def steps(self, turns: Turns, size: int, piece: int = 2048) -> list[Step]:
        """Tokens with all log-probabilities (V,), at most `size` and before the end token."""
        found, asked = self._known.get((turns, piece), ([], 0))
        if asked < size:
            found = list(self._generated(turns, size, piece))
            self._known[turns, piece] = found, size
        return found[:size]

    def _generated(self, turns: Turns, size: int, piece: int) -> Iterator[Step]:
        prompt = mx.array(tokens(turns))
        for token, logprobs in generate_step(prompt, self._model, max_tokens=size, prefill_step_size=piece):
            if token == END:
                return
            yield token, np.array(logprobs.astype(mx.float32))

    def text(self, turns: Turns, size: int) -> str:
        return "".join(chr(token) for token, _ in self.steps(turns, size) if token < END)


def _unnested(kinds: list[str], caches: list[Any]) -> list[str]:
    found: list[str] = []
    for kind, cache in zip(kinds, caches, strict=True):
        found += [type(part).__name__ for part in cache.caches] if kind == "CacheList" else [kind]
    return found


class Asked:
    """The product's engine; built anew after it has raised, as a worker is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine: Any = None
        self._seconds = LARGE_PIECES

    def load(self) -> None:
        """Raises Trouble for a folder that no worker would get, Unavailable for one that it cannot serve."""
        if self._engine is None:
            found = checkpoint.read(self._folder)
            family = KNOWN.claiming(found.config)
            if family is UNKNOWN:
                raise Trouble(f"its model_type {found.config.get('model_type')!r} is not supported")
            spec = Model(self._folder.name, self._folder, family).loadable.spec
            self._engine = text.load(spec)
            now = 0.0

            def clock() -> float:
                nonlocal now
                now += self._seconds
                return now

            self._engine._clock, self._engine._sleep = clock, lambda _: None

    @property
    def batching(self) -> str:
        return str(self._engine._model.batching.value)

    def close(self) -> None:
        self._engine = None

    def run(self, jobs: Sequence[ChatJob], seconds: float = LARGE_PIECES) -> list[dict[int, Answer]]:
        """Their answers by choice; all jobs are aboard before the first step."""
        return self.run_late(jobs, [], 0, seconds)

    def run_late(
        self, jobs: Sequence[ChatJob], late: Sequence[ChatJob], steps: int, seconds: float = LARGE_PIECES
    ) -> list[dict[int, Answer]]:
        """`late` ones come when the others have had so many steps."""
        events: list[list[Event]] = [[] for _ in (*jobs, *late)]
        with self._running(seconds) as engine:
            _admit(engine, jobs, 0)
            for count in range(MOST_STEPS):
                if count == steps:
                    _admit(engine, late, len(jobs))
                if engine.idle and count >= steps:
                    return [_answers(found) for found in events]
                for job_id, event in engine.step():
                    events[job_id].append(event)
        raise Trouble(f"{MOST_STEPS} steps were not enough")

    def cancel(self, job: ChatJob, steps: int) -> None:
        """The job, left after so many steps."""
        with self._running(SMALL_PIECES) as engine:
            _admit(engine, [job], 0)
            for _ in range(steps):
                engine.step()
            engine.cancel(0)
            while not engine.idle:
                engine.step()

    def _running(self, seconds: float) -> _Running:
        self._seconds = seconds
        self.load()
        return _Running(self)


class _Running:
    """An engine that is let go when a step of it raises."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def __enter__(self) -> Any:
        return self._asked._engine

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._asked.close()


def _admit(engine: Any, jobs: Sequence[ChatJob], first: int) -> None:
    """And wait until their prompts are made: the first step finds all of them."""
    for number, job in enumerate(jobs):
        engine.admit(first + number, job)
    concurrent.futures.wait([future for _, future in engine._preparation._futures.values()])


def _answers(events: list[Event]) -> dict[int, Answer]:
    wrong = next((event for event in events if isinstance(event, (Refused, Failed))), None)
    if wrong:
        raise Trouble(wrong.message)
    done = next(event for event in events if isinstance(event, ChatDone))
    return {
        end.index: _answer([e for e in events if isinstance(e, Delta) and e.index == end.index], end, done)
        for end in events
        if isinstance(end, Finished)
    }


def _answer(deltas: list[Delta], end: Finished, done: ChatDone) -> Answer:
    entries = [entry for delta in deltas for entry in delta.logprobs]
    return Answer(
        tuple(_token(entry.token_bytes) for entry in entries),
        tuple(entry.logprob for entry in entries),
        "".join(delta.text for delta in deltas),
        end.reason,
        done.completion_tokens,
        done.cached_tokens,
    )


def _token(spelled: tuple[int, ...]) -> int:
    return spelled[0] if len(spelled) == 1 else SPECIAL.get(bytes(spelled).decode(), -1)


def job(turns: Turns, size: int, **fields: Any) -> ChatJob:
    roles = ["user", "assistant"] * len(turns)
    messages = tuple(Message(role, content) for role, content in zip(roles, turns, strict=False))
    return ChatJob(
        messages, **{"sampling": Sampling(temperature=0), "max_tokens": size, "top_logprobs": 0, **fields}
    )
