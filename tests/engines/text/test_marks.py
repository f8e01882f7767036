"""Special tokens as letters of a text."""

from __future__ import annotations

from ominix.engines.text.marks import MOST, Marks


def test_names_become_letters_and_names_again():
    marks = Marks({7: "<a>", 8: "<a><b>", 9: "<b>"})

    text = marks.encoded("x<a><b><a>y")

    assert text == "x" + marks.letter(8) + marks.letter(7) + "y"
    assert marks.spelled(text) == "x<a><b><a>y"
    assert marks.silenced(text) == "xy"
    assert marks.letter(1) == ""


def test_what_looks_like_a_letter_in_a_given_text_is_dropped():
    marks = Marks({7: "<a>"})

    assert marks.encoded("x" + marks.letter(7)) == "x"


def test_placeholders_have_no_letter_where_there_are_too_many():
    marks = Marks({token: f"<unused{token}>" for token in range(MOST)} | {MOST: "<a>"})

    assert marks.letter(0) == ""
    assert marks.encoded("<a>") == marks.letter(MOST) != ""
