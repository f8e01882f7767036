"""generation_config.json, as models have it and as nobody should."""

from __future__ import annotations

import pytest

from ominix.library.generation import NO_SETTINGS, GenerationSettings, settings


def test_what_a_model_s_card_recommends():
    """As Qwen2.5-0.5B-Instruct has it."""
    config = {
        "do_sample": True,
        "eos_token_id": [151645, 151643],
        "repetition_penalty": 1.1,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.8,
        "max_new_tokens": 512,
    }
    assert settings(config) == GenerationSettings(top_k=20, repetition_penalty=1.1, max_tokens=512)


@pytest.mark.parametrize("value", [None, True, "20", -1, 0, [], {}, 10**30, float("nan"), 1e308])
def test_what_makes_no_sense_is_passed_over(value):
    names = ("top_k", "min_p", "repetition_penalty", "max_new_tokens")
    assert settings(dict.fromkeys(names, value)) == NO_SETTINGS
