from __future__ import annotations

import pytest

from ominix.families.family import SAFETENSORS, UNKNOWN, Family


@pytest.mark.parametrize(
    ("abilities", "task"),
    [({"chat"}, "chat"), ({"transcribe", "align"}, "speech"), ({"align"}, "aligner"), ({"embed"}, "unknown")],
)
def test_the_task_is_a_word_for_the_abilities(abilities, task):
    assert Family(frozenset(abilities)).task == task


@pytest.mark.parametrize("model_type", [None, 5, [], {}, True, "", "toy ", "x" * 300])
def test_a_family_claims_its_model_types_and_nothing_else(model_type):
    toy = Family(frozenset({"chat"}), frozenset({"toy"}))
    assert toy.claims({"model_type": "toy"})
    assert not toy.claims({"model_type": model_type})
    assert not toy.claims({})
    assert not UNKNOWN.claims({"model_type": model_type})


@pytest.mark.parametrize(
    "name", ["model.py", "pytorch_model.bin", "model.safetensors/../x", "xmodel.safetensors"]
)
def test_weights_are_safetensors_alone(name):
    assert SAFETENSORS.weights.fullmatch("model-00001-of-00002.safetensors")
    assert not SAFETENSORS.weights.fullmatch(name)
