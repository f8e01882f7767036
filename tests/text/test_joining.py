"""How the texts of two clips are joined, in many scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ominix.text import joining


@pytest.mark.parametrize(
    ("before", "after", "joint"),
    [
        ("Hello.", "World", " "),
        ("Hello", ", world", ""),
        ("你好。", "世界", ""),
        ("こんにちは", "カタカナ", ""),
        ("สวัสดี", "ครับ", ""),
        ("안녕하세요", "세계", " "),
        ("three", "零", " "),
        ("", "World", ""),
        ("Hello ", "World", ""),
        ("нет", "да", " "),
    ],
)
def test_spaces_only_where_the_script_has_them(before, after, joint):
    assert joining.between(before, after) == joint


SCRIPTS = json.loads((Path(__file__).parents[1] / "data" / "scripts.json").read_text("utf-8"))


@pytest.mark.parametrize("language", SCRIPTS)
def test_what_was_cut_is_joined_as_it_was(language):
    """At every space, or wherever there is none in scripts that are written without."""
    text = SCRIPTS[language]
    solid = language in ("Chinese", "Japanese", "Thai")
    places = [i for i in range(1, len(text)) if text[i - 1] != " " and (text[i] == " ") != solid]
    assert len(places) > 10
    for place in places:
        before, after = text[:place], text[place:].lstrip()
        assert before + joining.between(before, after) + after == text
