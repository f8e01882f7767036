"""Answers that repeat themselves are cut."""

from __future__ import annotations

import pytest

from ominix.engines.speech.repetition import RepetitionFilter


def through(text: str, size: int = 3) -> tuple[str, bool]:
    loops = RepetitionFilter()
    shown = "".join(loops.feed(text[i : i + size]) for i in range(0, len(text), size))
    return shown + loops.end(), loops.found


@pytest.mark.parametrize(
    "text",
    [
        "The cat sat on the mat, and that was that.",
        "no no no no no no, he said",
        "1000000000000000 is a number",
        "ha" * 19 + " very funny",
        "。" * 3 + "好好好",
        "",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_is_no_loop_passes_unchanged(text, size):
    assert through(text, size) == (text, False)


@pytest.mark.parametrize(
    ("pattern", "copies"),
    [("a", 200), ("ha ", 100), ("好的。", 50), ("one two three four five six seven. ", 12)],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_loop_is_found_and_at_most_three_copies_are_left(pattern, copies, size):
    text, looped = through("It begins. " + pattern * copies, size)
    assert looped
    assert text.startswith("It begins. " + pattern * 2)
    assert ("It begins. " + pattern * 3).startswith(text)


def test_text_is_shown_at_once_unless_it_repeats():
    loops = RepetitionFilter()
    assert [loops.feed(word) for word in ("one ", "two ", "three ")] == ["one ", "two ", "three "]
    shown = [loops.feed("four ") for _ in range(6)]
    assert shown[:2] == ["four ", "four "]
    assert shown[4:] == ["", ""]
    assert "".join(shown) + loops.feed("five") == "four " * 6 + "five"
