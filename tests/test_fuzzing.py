from __future__ import annotations

import pytest

from tools.fuzzing import mutator
from tools.fuzzing.targets import TARGETS

INPUTS = 20


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_broken_inputs_are_read_or_refused(name):
    """A look at each target; `tools/fuzz --count 100000` is the real thing."""
    target = TARGETS[name]()
    for number in range(INPUTS):
        try:
            target.read(mutator.made(target.corpus, number, seed=0))
        except target.refusals:
            continue


def test_a_number_is_an_input():
    corpus = (b"hello world" * 10, b"12345")
    made = [mutator.made(corpus, number, seed=1) for number in range(200)]
    assert made == [mutator.made(corpus, number, seed=1) for number in range(200)]
    assert len(set(made)) > 150
    assert all(len(data) <= mutator.MAX_BYTES for data in made)
