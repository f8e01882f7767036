"""Segments of several channels in one order, and the text's lines."""

from __future__ import annotations

from ominix.engines.speech.turns import Turns
from ominix.wire.events import Segment


def segment(start, text, speaker):
    return Segment(99, start, start + 1, text, channel=int(speaker == "right"), speaker=speaker)


def test_what_was_said_meanwhile_stands_between():
    turns = Turns()
    turns.add(segment(0.0, "One.", "left"), ())
    turns.add(segment(20.0, "Two.", "left"), ())
    assert [s.text for _, s in turns.until(10.0)] == ["One."]
    turns.add(segment(10.0, "Yes.", "right"), ())
    turns.add(segment(21.0, "Three.", "left"), ())

    rest = list(turns.until(float("inf")))

    assert [(s.id, s.text) for _, s in rest] == [(1, "Yes."), (2, "Two."), (3, "Three.")]
    assert turns.text == "left: One.\nright: Yes.\nleft: Two. Three."
    assert "".join(delta.text for delta, _ in rest) == turns.text.removeprefix("left: One.")


def test_nothing_said_is_an_empty_text():
    turns = Turns()
    assert list(turns.until(float("inf"))) == []
    assert turns.text == ""
