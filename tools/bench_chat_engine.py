"""What the text engine costs over mlx-lm's BatchGenerator alone, and how fast it is, in one process.

    python tools/bench_chat_engine.py [FOLDER]

FOLDER: a chat model, by default what tools/fetch_smollm2 brings. Direct and engine take turns on the
same weights, so that a busy machine hurts both; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ominix.cpu import backend

backend.prepare()  # before mlx is imported

from mlx_lm.generate import BatchGenerator  # noqa: E402

from ominix.cpu import threads  # noqa: E402
from ominix.engines import memory  # noqa: E402
from ominix.engines.text import prompts, text_engine, text_model  # noqa: E402
from ominix.engines.text.text_engine import TextEngine  # noqa: E402
from ominix.engines.text.text_model import TextModel  # noqa: E402
from ominix.wire.events import Delta  # noqa: E402
from ominix.wire.jobs import ChatJob, Message, Sampling  # noqa: E402

HOME = Path(os.environ.get("OMINIX_HOME", Path.home() / ".ominix"))
TOKENS = 24  # of an answer


def job(words: int, salt: str) -> ChatJob:
    """About `words` tokens of prompt that no other job begins with."""
    text = f"{salt} " + "word " * words
    return ChatJob((Message("user", text),), Sampling(temperature=0), max_tokens=TOKENS)


def through_engine(engine: TextEngine, jobs: list[ChatJob]) -> tuple[float, float]:
    """Seconds to the first delta and to the end."""
    begun, first = time.perf_counter(), 0.0
    for i, each in enumerate(jobs):
        engine.admit(i, each)
    while not engine.idle:
        for _, event in engine.step():
            if isinstance(event, Delta):
                first = first or time.perf_counter() - begun
    return first, time.perf_counter() - begun


def direct(model: TextModel, jobs: list[ChatJob]) -> tuple[float, float]:
    """The same through BatchGenerator, as mlx-lm's own server calls it."""
    begun, first = time.perf_counter(), 0.0
    messages = [prompts.template_messages(each.messages) for each in jobs]
    tokens = [model.prompt_tokens(model.chat_tokenizer, each) for each in messages]
    generator = BatchGenerator(model.model)
    uids = generator.insert(tokens, [each.max_tokens or TOKENS for each in jobs])
    words = {uid: model.tokenizer.detokenizer for uid in uids}  # noqa: C420
    left = len(uids)
    while left:
        for response in generator.next()[1]:
            words[response.uid].add_token(response.token)
            first = first or time.perf_counter() - begun
            left -= response.finish_reason is not None
    return first, time.perf_counter() - begun


def measured(way: Callable[[], tuple[float, ...]]) -> tuple[float, float, float]:
    """Seconds to the first token, to the end, and of CPU time."""
    worked = time.process_time()
    first, seconds, *_ = way()
    return first, seconds, time.process_time() - worked


def compare(model: TextModel, rounds: int, clients: int, words: int) -> None:
    walls, works, rates, firsts = [], [], [], []
    tuner = threads.find()
    for turn in range(rounds):
        if tuner:
            tuner.tune()  # for both
        jobs = [job(words, f"{turn} {client}") for client in range(clients)]
        engine = text_engine.assembled(model, memory.measure(model.model, None))
        ways = [partial(direct, model, jobs), partial(through_engine, engine, jobs)]
        figures = [measured(way) for way in (ways if turn % 2 else ways[::-1])]
        alone, ours = figures if turn % 2 else figures[::-1]
        walls.append(ours[1] / alone[1])
        works.append(ours[2] / alone[2])
        rates.append(clients * TOKENS / ours[1])
        firsts.append(ours[0])
    median = statistics.median
    print(
        f"{clients} clients, {words} words: engine/direct {median(walls):.3f} by the clock "
        f"({min(walls):.3f}-{max(walls):.3f}), {median(works):.3f} in CPU time; "
        f"{median(rates):.1f} tok/s in all, first token {median(firsts):.2f} s",
        flush=True,
    )


def turns(model: TextModel, words: int) -> None:
    engine = text_engine.assembled(model, memory.measure(model.model, None))
    cold_job = job(words, "history")
    cold, _ = through_engine(engine, [cold_job])
    # an answer that the client has edited: only the prompt is the same
    follow = (*cold_job.messages, Message("assistant", "So many words!"))
    again = (*follow, Message("user", "And what do you make of it?"))
    warm, _ = through_engine(engine, [ChatJob(again, Sampling(temperature=0), max_tokens=4)])
    print(
        f"second turn after {words} words: first token {warm:.2f} s, cold {cold:.2f} s: {warm / cold:.0%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=HOME / "models/SmolLM2-135M-Instruct")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = text_model.load(arguments.folder, backend.prepare())
    # without stop tokens every answer has its full length
    model = replace(model, stop_ids=frozenset())
    compare(model, arguments.rounds, clients=1, words=20)
    compare(model, arguments.rounds, clients=1, words=460)
    compare(model, arguments.rounds, clients=8, words=20)
    turns(model, 1000)


if __name__ == "__main__":
    main()
