"""What the chat engine costs over mlx-lm's BatchGenerator alone, and how fast it is, in one process.

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
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ominix.engines import backend

backend.prepare()  # before mlx is imported

from mlx_lm.generate import BatchGenerator  # noqa: E402

from ominix.engines import chat_model, room, threads  # noqa: E402
from ominix.engines.chat_engine import ChatEngine  # noqa: E402
from ominix.engines.chat_model import ChatModel  # noqa: E402
from ominix.jobs import ChatJob, Delta, Sampling  # noqa: E402

HOME = Path(os.environ.get("OMINIX_HOME", Path.home() / ".ominix"))
TOKENS = 24  # of an answer


def job(words: int, salt: str, answer: int = TOKENS) -> ChatJob:
    """About `words` tokens of prompt that no other job begins with."""
    text = f"{salt} " + "word " * words
    return ChatJob(({"role": "user", "content": text},), Sampling(temperature=0), max_tokens=answer)


def through_engine(engine: ChatEngine, jobs: list[ChatJob]) -> tuple[float, float, str]:
    """Seconds to the first delta and to the end, and the first job's text."""
    begun, first, text = time.perf_counter(), 0.0, ""
    for i, each in enumerate(jobs):
        engine.admit(i, each)
    while not engine.idle:
        for job_id, event in engine.step():
            if isinstance(event, Delta):
                first = first or time.perf_counter() - begun
                text += event.text if job_id == 0 else ""
    return first, time.perf_counter() - begun, text


def direct(model: ChatModel, jobs: list[ChatJob]) -> tuple[float, float]:
    """The same through BatchGenerator, as mlx-lm's own server calls it."""
    begun, first = time.perf_counter(), 0.0
    prompts = [model.prompt_tokens(model.tokenizer, list(each.messages)) for each in jobs]
    generator = BatchGenerator(model.model)
    uids = generator.insert(prompts, [each.max_tokens or TOKENS for each in jobs])
    words = {uid: model.tokenizer.detokenizer for uid in uids}  # noqa: C420
    left = len(uids)
    while left:
        for response in generator.next()[1]:
            words[response.uid].add_token(response.token)
            first = first or time.perf_counter() - begun
            left -= response.finish_reason is not None
    return first, time.perf_counter() - begun


def compare(model: ChatModel, rounds: int, clients: int, words: int) -> None:
    ratios, rates, firsts = [], [], []
    for turn in range(rounds):
        space = room.measure(model.model, None)
        jobs = [job(words, f"{turn} {client}") for client in range(clients)]
        tuner = threads.find()
        if tuner:
            tuner.tune()  # for both
        engine = ChatEngine(model, space)
        if turn % 2:
            alone = direct(model, jobs)[1]
        first, ours, _ = through_engine(engine, jobs)
        if not turn % 2:
            alone = direct(model, jobs)[1]
        ratios.append(ours / alone)
        rates.append(clients * TOKENS / ours)
        firsts.append(first)
    median = statistics.median
    print(
        f"{clients} clients, {words} words: engine/direct time {median(ratios):.3f} "
        f"({min(ratios):.3f}-{max(ratios):.3f}), {median(rates):.1f} tok/s in all, "
        f"first token {median(firsts):.2f} s",
        flush=True,
    )


def turns(model: ChatModel, words: int) -> None:
    engine = ChatEngine(model, room.measure(model.model, None))
    cold_job = job(words, "history")
    cold, _, answer = through_engine(engine, [cold_job])
    follow = (*cold_job.messages, {"role": "assistant", "content": answer})
    again = (*follow, {"role": "user", "content": "And what do you make of it?"})
    warm, _, _ = through_engine(engine, [ChatJob(again, Sampling(temperature=0), max_tokens=4)])
    print(
        f"second turn after {words} words: first token {warm:.2f} s, cold {cold:.2f} s: {warm / cold:.0%}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=HOME / "models/SmolLM2-135M-Instruct")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = chat_model.load(arguments.folder)
    # without stop tokens every answer has its full length
    model = replace(model, stop_ids=frozenset())
    compare(model, arguments.rounds, clients=1, words=20)
    compare(model, arguments.rounds, clients=1, words=460)
    compare(model, arguments.rounds, clients=8, words=20)
    turns(model, 1000)


if __name__ == "__main__":
    main()
