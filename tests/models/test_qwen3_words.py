"""Splitting into words, in many scripts, and the repair of times."""

# ruff: noqa: RUF001  (letters and marks of many scripts)

from __future__ import annotations

import importlib.util
import itertools
import sys
import types
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ominix.errors import PackageMissing
from ominix.models.qwen3_asr import words
from ominix.models.qwen3_asr.timestamps import longest_non_decreasing_subsequence, non_decreasing

TEXTS = [
    ("English", "Don't stop -- it's 3.5 well-known.", ["Don't", "stop", "it's", "35", "wellknown"]),
    ("Chinese", "你好，世界！OK 2024年", ["你", "好", "世", "界", "OK", "2024", "年"]),
    ("Cantonese", "佢哋喺度。", ["佢", "哋", "喺", "度"]),
    ("German", "Grüße aus Köln!", ["Grüße", "aus", "Köln"]),
    ("French", "À bientôt, l'été", ["À", "bientôt", "l'été"]),
    ("Spanish", "¿Qué tal? ¡Niño!", ["Qué", "tal", "Niño"]),
    ("Russian", "Привет, мир.", ["Привет", "мир"]),
    ("Korean", "안녕하세요, 漢字는 오늘!", ["안녕하세요", "漢字는", "오늘"]),
    ("Arabic", "مرحبا، كيف حالك؟", ["مرحبا", "كيف", "حالك"]),
    ("Greek", "Καλημέρα κόσμε;", ["Καλημέρα", "κόσμε"]),
    ("Thai", "สวัสดี ครับ", ["สวสด", "ครบ"]),
    ("Hindi", "नमस्ते दुनिया।", ["नमसत", "दनय"]),
    (None, "カタカナと漢字", ["カタカナと", "漢", "字"]),
]


@pytest.mark.parametrize(("language", "text", "expected"), TEXTS)
def test_ten_scripts(language, text, expected):
    assert [place.read for place in words.split(text, language)] == expected


@pytest.mark.parametrize(
    ("text", "language", "shown"),
    [
        ("«Don’t», well-known…", "English", ["Don’t", "well-known"]),
        ("नमस्ते दुनिया।", "Hindi", ["नमस्ते", "दुनिया"]),
        ("สวัสดี", "Thai", ["สวัสดี"]),
        ("cafe\u0301!", "French", ["cafe\u0301"]),
        ("你好。", "Chinese", ["你", "好"]),
    ],
)
def test_people_see_the_text_s_own_letters_marks_included(text, language, shown):
    assert [text[place.first : place.last] for place in words.split(text, language)] == shown


@pytest.mark.parametrize("code", [0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0x20000, 0x2A700, 0x2CEAF, 0x2F800])
def test_each_ideograph_is_a_word(code):
    letter = chr(code)
    found = [place.read for place in words.split(f"a{letter}{letter}b", "Chinese")]
    assert found == ["a", letter, letter, "b"]


@pytest.mark.parametrize("text", ["", "  ", "... — !", "🙂"])
def test_texts_without_words(text):
    assert words.split(text, "English") == []


@given(st.text(), st.sampled_from([None, "English", "Chinese", "Korean"]))
def test_no_letter_is_lost_or_doubled(text, language):
    def letters(piece):
        return [c for c in piece if c == "'" or unicodedata.category(c)[0] in "LN"]

    places = words.split(text, language)
    assert letters(text) == [c for place in places for c in letters(text[place.first : place.last])]
    assert letters(text) == [c for place in places for c in place.read]
    assert all(a.last <= b.first for a, b in itertools.pairwise(places))


def japanese(monkeypatch, pieces):
    stand_in = types.SimpleNamespace(tagging=lambda text: types.SimpleNamespace(words=pieces))
    monkeypatch.setitem(sys.modules, "nagisa", stand_in)


def test_japanese_is_cut_by_nagisa(monkeypatch):
    japanese(monkeypatch, ["今日", "は", "、", "学校", "へ", "。"])
    text = "今日は、学校へ。"
    found = words.split(text, "Japanese")
    assert [text[p.first : p.last] for p in found] == ["今日", "は", "学校", "へ"]


def test_characters_whose_width_was_changed_on_the_way_are_found(monkeypatch):
    japanese(monkeypatch, ["ガッコウ", "ABC"])  # of six and three characters: halfwidth katakana
    text = "ｶﾞｯｺｳ ABC"
    found = words.split(text, "Japanese")
    assert found[0].first == 0
    assert found[-1].last == len(text)
    assert found[0].last <= found[1].first


def test_more_words_than_letters_each_show_one(monkeypatch):
    japanese(monkeypatch, ["か", "か", "き"])  # as if a letter had been taken apart
    text = "がき"
    assert [text[p.first : p.last] for p in words.split(text, "Japanese")][::2] == ["が", "き"]


def test_what_to_install_for_japanese_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "nagisa", None)
    with pytest.raises(PackageMissing, match="pip install nagisa"):
        words.split("今日は", "Japanese")
    with pytest.raises(PackageMissing):
        words.check("Japanese")
    words.check("Korean")
    words.check(None)


@pytest.mark.reference
def test_nagisa_itself():
    if importlib.util.find_spec("nagisa") is None:
        pytest.skip("nagisa is not installed")
    text = "今日は、ｶﾞｯｺｳへ行きました。"
    found = words.split(text, "Japanese")
    assert [place.read for place in found] == ["今日", "は", "ガッコウ", "へ", "行き", "まし", "た"]


# Times


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], []),
        ([80.0], [80]),
        ([80, 160, 160, 400], [80, 160, 160, 400]),
        ([80, 4000, 160, 240], [80, 80, 160, 240]),
        ([80, 160, 0, 400], [80, 160, 160, 400]),
        ([80, 160, 0, 0, 400], [80, 160, 160, 400, 400]),
        ([80, 160, 240, 320, 0, 0, 0, 800, 880], [80, 160, 240, 320, 440, 560, 680, 800, 880]),
        ([500, 80, 160], [80, 80, 160]),
        ([80, 160, 0], [80, 160, 160]),
    ],
)
def test_times_that_jump_are_moved_between_their_neighbours(times, expected):
    assert non_decreasing(times) == expected


def reference(times):
    """transformers' rule in its own words: which stay."""
    lengths, parents = [1] * len(times), [-1] * len(times)
    for i in range(len(times)):
        for j in range(i):
            if times[j] <= times[i] and lengths[j] + 1 > lengths[i]:
                lengths[i], parents[i] = lengths[j] + 1, j
    place, kept = lengths.index(max(lengths)), []
    while place != -1:
        kept.append(place)
        place = parents[place]
    return kept[::-1]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_repaired_times_never_fall_and_good_ones_stay(classes):
    times = [number * 80.0 for number in classes]
    fixed = non_decreasing(times)
    assert len(fixed) == len(times)
    assert fixed == sorted(fixed)
    kept = longest_non_decreasing_subsequence(times)
    assert kept == reference(times)
    assert all(fixed[i] == times[i] for i in kept)
    assert min(times) <= fixed[0]
    assert fixed[-1] <= max(times)
    assert non_decreasing(fixed) == fixed
