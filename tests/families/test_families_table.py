from __future__ import annotations

import importlib.util

import pytest

from ominix.families import minicpm_sala, mlx_lm, qwen3_asr
from ominix.families.family import UNKNOWN, Family
from ominix.families.table import ANY_MODEL, HELPS, KNOWN, Families, ability_meant


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "qwen3_asr"}, qwen3_asr.RECOGNISER),
        ({"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}}, qwen3_asr.ALIGNER),
        ({"model_type": "minicpm_sala"}, minicpm_sala.CHAT),
        ({"model_type": "llama"}, mlx_lm.CHAT),
        ({"model_type": "parakeet"}, UNKNOWN),
        ({"model_type": "scripted"}, UNKNOWN),
        ({"architectures": 5}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_one_family_claims_a_config(config, family):
    assert KNOWN.claiming(config) is family


def test_a_toy_family_is_one_entry():
    toy = Family(
        frozenset({"chat"}), frozenset({"toy"}), engine="text", aliases={"toy": "a/toy"}, prefix="toy"
    )
    families = KNOWN.with_more([toy])
    assert families.claiming({"model_type": "toy"}) is toy
    assert families.repositories["toy"] == "a/toy"
    assert families.meant("Toy-7B") is toy
    assert toy in families.able("chat")
    assert toy not in KNOWN.able("chat")


def test_the_first_family_that_claims_a_config_has_it():
    one, other = (Family(frozenset({"chat"}), frozenset({"toy"})) for _ in range(2))
    assert Families([one, other]).claiming({"model_type": "toy"}) is one


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("MiniCPM-SALA", minicpm_sala.CHAT),
        ("minicpm_sala_9b", minicpm_sala.CHAT),
        ("minicpm", None),
        ("", None),
    ],
)
def test_a_name_may_mean_any_model_of_a_family(name, family):
    assert KNOWN.meant(name) is family


@pytest.mark.parametrize(
    ("name", "ability"), [("whisper-1", "transcribe"), ("qwen3-asr", "transcribe"), ("gpt-4", None)]
)
def test_a_name_may_mean_any_model_with_an_ability(name, ability):
    assert ability_meant(name) == ability


def test_the_names_for_any_model_begin_with_one_that_can_be_pulled():
    for names in ANY_MODEL.values():
        assert names[0] in KNOWN.repositories


def test_what_a_worker_loads_is_there():
    for family in (family for ability in KNOWN.abilities for family in KNOWN.able(ability)):
        assert not family.engine or importlib.util.find_spec(f"ominix.engines.{family.engine}")
        assert not family.package or importlib.util.find_spec(f"ominix.models.{family.package}")


def test_a_helper_is_a_family_that_can_be_pulled():
    for needed in HELPS.values():
        assert [name for family in KNOWN.able(needed.ability) for name in family.aliases]
