from __future__ import annotations

import pytest

from ominix.text import languages
from ominix.text.language_names import OTHER_NAMES, UNSPOKEN


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("German deutsch Deutsch DE de-AT deu ger", "German"),
        ("español espanol Castellano es-419 spa", "Spanish"),
        ("中文 汉语 zh zh-Hant zh_TW zho chi cmn-Hans-CN Mandarin", "Chinese"),
        ("zh-yue yue 粵語 Cantonese yue-Hant-HK", "Cantonese"),
        ("pt-BR português portugues por", "Portuguese"),
        ("no nb nb-NO norsk Bokmål nor", "Norwegian"),
        ("日本語 ja-JP jpn", "Japanese"),
        ("हिन्दी hi", "Hindi"),
        ("tl fil-PH Tagalog", "Filipino"),
        ("ga gaeilge", "Irish"),
    ],
)
def test_names_and_codes_of_every_kind(written, name):
    assert {languages.find(word) for word in written.split()} == {name}


def test_names_of_several_words():
    assert languages.find(" Chinese (Simplified) ") == "Chinese"
    assert languages.find("Haitian Creole") == "Haitian Creole"
    assert languages.find("bahasa indonesia") == "Indonesian"


@pytest.mark.parametrize("text", ["klingon", "xx", "english please", "d", "-", "zz-EN"])
def test_what_is_no_language(text):
    assert languages.find(text) is None
    assert not languages.means_any(text)


@pytest.mark.parametrize("text", ["", " ", "auto", "AUTO", "und", "None", "null", "mul"])
def test_what_leaves_it_to_the_model(text):
    assert languages.means_any(text)


def test_no_name_means_two_languages():
    assert OTHER_NAMES.keys() <= languages.LANGUAGES.keys()
    assert not UNSPOKEN.keys() & languages.LANGUAGES.keys()
    rows = (*languages.LANGUAGES.items(), *OTHER_NAMES.items(), *UNSPOKEN.items())
    for english, names in rows:
        assert {languages.find(name) for name in (english, *names)} == {english}
