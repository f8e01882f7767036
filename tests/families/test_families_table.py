from __future__ import annotations

import importlib.util
import re

import pytest

from ominix.families import minicpm_sala, mlx_lm, qwen3_asr, whisper
from ominix.families.family import UNKNOWN, Family
from ominix.families.table import ANY_MODEL, HELPS, KNOWN, RECOMMENDED, Families, Meaning


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
        frozenset({"chat"}),
        frozenset({"toy"}),
        engine="text",
        aliases={"toy": "a/toy"},
        names=re.compile("toy.*"),
    )
    families = KNOWN.with_more([toy])
    assert families.claiming({"model_type": "toy"}) is toy
    assert families.repositories["toy"] == "a/toy"
    assert families.meant("Toy-7B") == Meaning((toy,))
    assert toy in families.able("chat")
    assert toy not in KNOWN.able("chat")


def test_the_first_family_that_claims_a_config_has_it():
    one, other = (Family(frozenset({"chat"}), frozenset({"toy"})) for _ in range(2))
    assert Families([one, other]).claiming({"model_type": "toy"}) is one


SALA = Meaning((minicpm_sala.CHAT,))
SPEECH = Meaning(ability="transcribe")


def whispers(size: str) -> Meaning:
    return Meaning((whisper.TRANSLATOR, whisper.ENGLISH, whisper.TRANSCRIBER), "transcribe", size)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("MiniCPM-SALA minicpm_sala_9b openbmb/MiniCPM-SALA", SALA),
        (
            "qwen3-asr gpt-transcribe gpt-4o-transcribe gpt-4o-mini-transcribe openai/gpt-4o-transcribe",
            SPEECH,
        ),
        ("gpt-4o-transcribe-2025-03-20 gpt-4o-mini-transcribe-2025-12-15 gpt-5-transcribe-latest", SPEECH),
        ("whisper-1 whisper WHISPER-1 openai/whisper-1 whisperx whisper-ggml", whispers("")),
        (
            "Systran/faster-whisper-base openai/whisper-base.en base base.en whisper-base-mlx",
            whispers("base"),
        ),
        ("large large-v3 faster-whisper-large-v3 whisper-large Whisper_Large_V3", whispers("large-v3")),
        ("large-v2 guillaumekln/faster-whisper-large-v2 ggml-large-v2-q5_0", whispers("large-v2")),
        ("turbo large-v3-turbo deepdml/faster-whisper-large-v3-turbo-ct2 whisper-turbo", whispers("turbo")),
        ("distil-large-v3 Systran/faster-distil-whisper-large-v3", whispers("distil-large-v3")),
        ("tiny ggml-tiny.en openai/whisper-tiny whisper-tiny-fp16", whispers("tiny")),
        ("minicpm gpt-4 gpt-4o-transcribe-diarize whisper-diarization tiny-asr base-model smallest", None),
        ("tiny-llama small/llama large-language-model sensewhisper qwen3-asr-9b /", None),
    ],
)
def test_names_that_mean_a_kind_of_model(names, kind):
    assert {name: KNOWN.meant(name) for name in names.split()} == dict.fromkeys(names.split(), kind)
    assert KNOWN.meant("") is None


def test_the_names_that_people_are_told_mean_what_is_said():
    for ability, names in ANY_MODEL.items():
        assert all(KNOWN.meant(name).ability == ability for name in names)
    for names in RECOMMENDED.values():
        assert set(names) <= KNOWN.repositories.keys()


def test_what_a_worker_loads_is_there():
    for family in (family for ability in KNOWN.abilities for family in KNOWN.able(ability)):
        assert not family.engine or importlib.util.find_spec(f"ominix.engines.{family.engine}")
        assert not family.package or importlib.util.find_spec(f"ominix.models.{family.package}")


def test_a_helper_is_a_family_that_can_be_pulled():
    for needed in HELPS.values():
        assert [name for family in KNOWN.able(needed.ability) for name in family.aliases]
