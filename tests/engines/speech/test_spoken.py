"""The language of a recording out of those of its clips."""

from __future__ import annotations

import pytest

from ominix.engines.speech.spoken import Spoken


def test_the_language_is_that_of_most_seconds_and_as_likely_as_there():
    spoken = Spoken()
    for language, seconds, probability in [("German", 5, 0.9), ("English", 4, 0.5), ("English", 4, 0.7)]:
        spoken.add(language, seconds, probability)
    assert spoken.language == "English"
    assert spoken.probability == pytest.approx(0.6)


def test_of_a_given_language_nobody_says_how_likely_it_is():
    spoken = Spoken()
    assert (spoken.language, spoken.probability) == (None, None)
    spoken.add("German", 5, None)
    assert (spoken.language, spoken.probability) == ("German", None)
