"""What a chat model's package may leave out."""

from __future__ import annotations

from ominix.models import chat_model


def test_a_package_without_a_way_of_prompting_is_prompted_by_its_template():
    assert chat_model.chat_format("") is None
    assert chat_model.chat_format("qwen3_asr") is None  # it has no module `chat`


def test_a_package_may_say_how_it_is_prompted_and_how_it_reasons():
    found = chat_model.chat_format("minicpm_sala")
    assert found is not None
    assert found.TAGS == ("<think>", "</think>")
    assert found.stop_tokens({})
