from __future__ import annotations

from ominix.families import scripted


def test_the_scripted_models_are_served_by_the_scripted_engine_alone():
    assert {family.engine for family, _ in scripted.MODELS.values()} == {"scripted"}
    assert {family.task for family, _ in scripted.MODELS.values()} == {"chat", "speech", "aligner"}


def test_a_folder_may_ask_for_it():
    assert scripted.CHAT.claims({"model_type": "scripted"})
    assert not scripted.SPEECH.claims({"model_type": "scripted"})
