"""What the decoder reads before it answers."""

from __future__ import annotations

import pytest

from ominix.models.whisper.prompts import Prompts
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary


@pytest.fixture(scope="module")
def prompts():
    return Prompts(Vocabulary(multilingual=True), SpecialTokens(51865), 448)


def test_language_task_and_timestamps_follow_the_start(prompts):
    assert prompts.start("de", translate=False, timestamps=False) == [50258, 50261, 50359, 50363]
    assert prompts.start("de", translate=True, timestamps=True) == [50258, 50261, 50358]


def test_english_only_models_have_neither_language_nor_task():
    prompts = Prompts(Vocabulary(multilingual=False), SpecialTokens(51864), 448)
    assert prompts.start("en", translate=False, timestamps=False) == [50257, 50362]
    assert prompts.codes == {"English": "en"}


def test_previous_text_gets_one_space(prompts):
    assert prompts.previous("  And so my fellow Americans ") == [400, 370, 452, 7177, 6280]
    assert prompts.previous(" \n ") == []


def test_of_a_long_text_the_end_counts(prompts):
    found = prompts.previous("one " * 5000 + "two")
    assert len(found) == 223
    assert found[-1] == prompts.previous("two")[-1]


def test_languages_are_known_by_their_english_names(prompts):
    assert len(prompts.codes) == 99
    assert (prompts.codes["German"], prompts.codes["Filipino"]) == ("de", "tl")
    assert "Cantonese" not in prompts.codes
    assert Prompts(Vocabulary(True), SpecialTokens(51866), 448).codes["Cantonese"] == "yue"


def test_chinese_without_a_prompt_is_in_simplified_characters(prompts):
    vocabulary = Vocabulary(multilingual=True)
    hint = prompts.script_hint("zh")
    assert hint[0] == 50361
    assert vocabulary.decode(hint[1:]) == " 以下是普通话的句子。"
    assert prompts.script_hint("ja") == []
