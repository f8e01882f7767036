from __future__ import annotations

from pathlib import Path

import pytest

from ominix.families import mlx_lm, qwen3_asr, whisper
from ominix.families.table import KNOWN
from ominix.library.lookup import Lookup
from ominix.library.model import BUILT_IN, Model

GB = 10**9
PACKAGED = (
    Model("tiny-asr", Path(), qwen3_asr.RECOGNISER, BUILT_IN),
    Model("tiny-aligner", Path(), qwen3_asr.ALIGNER, BUILT_IN),
)


def qwen(name: str, gigabytes: float = 1.0, bits: int | None = None, **more) -> Model:
    size = int(gigabytes * GB)
    return Model(
        name, Path(), qwen3_asr.RECOGNISER, size_bytes=size, quantization=bits and (bits, 64), **more
    )


def whispers(name: str, gigabytes: float = 1.0, family=whisper.TRANSLATOR, **more) -> Model:
    return Model(name, Path(), family, size_bytes=int(gigabytes * GB), **more)


def chat(name: str, **more) -> Model:
    return Model(name, Path(), mlx_lm.CHAT, **more)


def lookup(*models: Model, **aliases: str) -> Lookup:
    return Lookup((*models, *PACKAGED), KNOWN, aliases)


def found(there: Lookup, name: str, ability: str = "") -> str | None:
    model = there.find(name, ability)
    return model and model.id


@pytest.mark.parametrize("name", ["whisper-1", "qwen3-asr", "gpt-4o-transcribe", "whisper-tiny", "base"])
def test_a_demo_model_stands_in_for_nobody(name):
    """It wrote its sixty words where a real model was asked for."""
    assert found(lookup(), name) is None
    assert found(lookup(), "tiny-asr") == "tiny-asr"
    said = lookup().absent(name, "transcribe").message
    assert "ominix pull" in said
    assert "tiny-asr, for trying things out, answers to its own name alone" in said


def test_whisper_s_names_mean_whisper_models_and_others_any():
    there = lookup(whispers("whisper-base"), qwen("Qwen3-ASR-0.6B-8bit"))
    for name in ("whisper-1", "whisper-large-v3", "Systran/faster-whisper-small", "tiny"):
        assert found(there, name) == "whisper-base"
    for name in ("qwen3-asr", "gpt-4o-transcribe", "gpt-4o-mini-transcribe-2025-12-15"):
        assert found(there, name) == "Qwen3-ASR-0.6B-8bit"
    assert found(lookup(qwen("q")), "whisper-1") == "q"
    assert found(lookup(whispers("w")), "qwen3-asr") == "w"


def test_the_size_that_is_named_comes_first_and_then_the_largest():
    small, large = whispers("whisper-small", 0.5), whispers("large", 3, repo_id="openai/whisper-large-v3")
    there = lookup(
        whispers("whisper-base", 0.2), small, large, whispers("my-turbo", 1.6, whisper.TRANSCRIBER)
    )
    assert found(there, "whisper-1") == "large"
    assert found(there, "openai/whisper-small") == "whisper-small"
    assert found(there, "faster-whisper-large-v3-turbo") == "my-turbo"
    assert found(there, "large-v3") == "large"
    assert found(there, "whisper-medium") == "large"
    assert found(there, "whisper-base.en") == "whisper-base"


def test_size_is_counted_in_weights_not_in_bytes():
    assert found(lookup(qwen("0.6B", 1.2), qwen("1.7B", 1.0, bits=4)), "qwen3-asr") == "1.7B"


def test_many_languages_come_before_one():
    there = lookup(whispers("whisper-medium.en", 3, whisper.ENGLISH), whispers("whisper-base", 0.2))
    assert found(there, "whisper-1") == "whisper-base"


def test_who_can_do_what_is_asked_comes_first():
    there = lookup(whispers("turbo-x", 3, whisper.TRANSCRIBER), whispers("whisper-base", 0.2))
    assert found(there, "whisper-1", "transcribe") == "turbo-x"
    assert found(there, "whisper-1", "translate") == "whisper-base"


def test_what_cannot_be_served_is_not_meant():
    assert found(lookup(whispers("whisper-base", trouble="torn")), "whisper-1") is None


def test_an_operator_s_alias_comes_before_a_kind():
    there = lookup(whispers("a", 3), whispers("b"), **{"whisper-1": "b", "mine": "gpt-4o-transcribe"})
    assert found(there, "whisper-1") == "b"
    assert found(there, "mine") == "a"
    assert there.exact("whisper-1").id == "b"
    assert there.exact("mine") is None
    demo = lookup(**{"whisper-1": "tiny-asr"})
    assert found(demo, "whisper-1") == "tiny-asr"


@pytest.mark.parametrize(
    ("name", "ability", "said"),
    [
        ("whisper-1", "transcribe", "'ominix pull qwen3-asr' or 'ominix pull whisper-base' downloads one"),
        ("Systran/faster-whisper-small", "transcribe", "'ominix pull whisper-small' downloads one"),
        ("whisper-large-v2", "transcribe", "'ominix pull whisper-large-v2' downloads one"),
        ("minicpm-sala", "chat", "a chat model, and none is here yet: 'ominix pull minicpm-sala-9b'"),
        ("qwen3-asr-1.7b", "transcribe", "not here yet: 'ominix pull qwen3-asr-1.7b' downloads it"),
        ("qwen3-0.6b", "chat", "not here yet: 'ominix pull qwen3-0.6b' downloads it"),
        ("mlx-community/Some-7B", "chat", "not here yet: 'ominix pull mlx-community/Some-7B' downloads it"),
        ("gpt-4o-transcribe-diarize", "transcribe", "tells who speaks, and no model here can do that yet"),
        ("smollm2", "chat", "Did you mean 'SmolLM2-135M-Instruct'? Models here for chat: SmolLM2-135M"),
        ("SmolLM-135M-Instruct", "chat", "Did you mean 'SmolLM2-135M-Instruct'?"),
        ("qwen3-0.6", "chat", "Did you mean 'qwen3-0.6b'? ('ominix pull' downloads it)"),
        ("gpt-9", "chat", "does not exist here. Models here for chat: SmolLM2-135M-Instruct. GET"),
        (
            "gpt-9",
            "transcribe",
            "here. Models here for speech: none; 'ominix pull qwen3-asr' downloads one. tiny-asr, for trying",
        ),
        ("gpt-9", "", "does not exist here. Models here: SmolLM2-135M-Instruct, a. GET"),
    ],
)
def test_what_is_said_where_a_name_means_nothing(name, ability, said):
    there = lookup(chat("SmolLM2-135M-Instruct"), chat("a", trouble="torn"))
    error = there.absent(name, ability)
    assert said in error.message
    assert error.param == "model"


def test_nobody_is_told_to_download_what_he_deletes():
    said = lookup(chat("llama")).unknown("a/none").message
    assert "The model 'a/none' does not exist here. Models here: llama." in said
    assert "ominix pull a/none" not in said
    assert "'ominix pull qwen3-0.6b' downloads one" in lookup().absent("gpt-9", "chat").message
