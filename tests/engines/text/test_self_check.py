"""A crowd never changes an answer, however mlx-lm batches the architecture."""

from __future__ import annotations

import pytest
import tiny_architectures
import tiny_chat
from tiny_chat import said

from ominix.cpu import backend
from ominix.engines.text import self_check
from ominix.engines.text.batching import Batching
from ominix.wire.events import Delta, Event
from ominix.wire.jobs import ChatJob, Sampling

pytestmark = [  # one backend will do: what is compared is this product with itself
    pytest.mark.usefixtures("cpu"),
    pytest.mark.parametrize("cpu", [backend.FAST], indirect=True),
    pytest.mark.slow,
]

GREEDY = Sampling(temperature=0, logit_bias={tiny_chat.END: -100})
TEXTS = ("a" * 20, "bcd " * 30, "x", "zebra " * 40)
WAYS = {
    "mamba": Batching.UNPADDED,  # states that know no lengths
    "gpt_bigcode": Batching.ONE_ROW,  # one position for all rows: raises
    "nemotron-nas": Batching.ONE_ROW,  # a layer without attention has a cache that stays empty
    "afm7": Batching.ONE_ROW,  # positions count the padding
    "llama4": Batching.ONE_ROW,  # caches that cannot be merged
}


@pytest.mark.parametrize("kind", WAYS)
def test_a_crowd_changes_no_answer(kind, tmp_path):
    folder = tiny_architectures.folder(tmp_path / kind, kind)
    jobs = [ChatJob(said(text), GREEDY, max_tokens=6, top_logprobs=0) for text in TEXTS]
    single = tiny_chat.engine(folder, cache_bytes=0)
    alone = [drawn(tiny_chat.run(single, job)[0]) for job in jobs]
    crowd = tiny_chat.engine(folder)
    together = [drawn(events) for events in tiny_chat.run(crowd, *jobs)]
    again = [drawn(tiny_chat.run(crowd, job)[0]) for job in jobs]  # on the caches that were kept

    assert crowd._model.batching is WAYS[kind]
    assert together == alone
    assert again == alone


def drawn(events: list[Event]) -> list[tuple[bytes, object]]:
    entries = [entry for event in events if isinstance(event, Delta) for entry in event.logprobs]
    return [(bytes(entry.token_bytes), pytest.approx(entry.logprob, abs=2e-3)) for entry in entries]


def test_models_that_batch_right_are_batched(tmp_path):
    for kind in ("llama", "sliding", "lfm2"):
        model = tiny_chat.model(tiny_chat.folder(tmp_path / kind, kind))
        assert self_check.batching(model) is Batching.PADDED


def test_what_no_check_finds_is_a_fact_of_its_family(tmp_path):
    """Its blocks begin to matter behind the check's short prompts."""
    folder = tiny_architectures.folder(tmp_path / "m", "minimax_m3_vl")

    assert self_check.batching(tiny_chat.model(folder)) is not Batching.ONE_ROW
    assert tiny_chat.engine(folder)._model.batching is Batching.ONE_ROW
