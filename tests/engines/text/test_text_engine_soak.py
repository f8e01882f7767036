"""Two thousand mixed requests leave the worker no larger than the first two hundred did."""

from __future__ import annotations

import gc
import random

import pytest
import tiny_chat

from ominix.wire.events import ChatDone
from ominix.wire.jobs import ChatJob, Sampling
from ominix.workers.usage import resident_bytes

REQUESTS, SETTLED = 2000, 200


def mixed(rng: random.Random) -> ChatJob:
    turns = [rng.choice("abcdefgh ") * rng.randint(1, 120) for _ in range(rng.choice((1, 1, 3)))]
    sampling = Sampling(
        temperature=rng.choice((0, 0.7, 1.3)),
        top_p=rng.choice((1.0, 0.9)),
        frequency_penalty=rng.choice((0, 0, 0.5)),
        logit_bias=rng.choice(({}, {65: 2.0})),
    )
    return ChatJob(
        tiny_chat.said(*turns),
        sampling,
        max_tokens=rng.randint(1, 40),
        stop=rng.choice(((), ("a", "xyz"))),
        n=rng.choice((1, 1, 1, 3)),
        top_logprobs=rng.choice((None, None, 2)),
    )


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_two_thousand_requests_do_not_grow_the_worker(tmp_path, kind):
    engine = tiny_chat.engine(tiny_chat.folder(tmp_path / "m", kind), cache_bytes=8 << 20)
    rng = random.Random(4)
    sent = finished = settled = 0
    while finished < REQUESTS:
        while sent - finished < 10 and sent < REQUESTS:
            engine.admit(sent, mixed(rng))
            if rng.random() < 0.1:
                engine.step()
                engine.cancel(sent)
                finished += 1
            sent += 1
        finished += sum(isinstance(event, ChatDone) for _, event in engine.step())
        if not settled and finished >= SETTLED:
            gc.collect()
            settled = resident_bytes()
        if engine.idle and sent == REQUESTS:
            break
    engine.step()  # the last may have ended at a stop string and leaves with the next plan
    gc.collect()

    ended = resident_bytes()
    print(f"{kind}: {settled >> 20} MiB after {SETTLED} requests, {ended >> 20} after {REQUESTS}")
    assert engine.idle
    assert ended <= settled * 1.05
