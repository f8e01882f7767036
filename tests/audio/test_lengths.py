"""How long a recording is, in words."""

from __future__ import annotations

import pytest

from ominix.audio import lengths


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (10.5, "10.5 seconds"),
        (3599, "3599 seconds"),
        (3600, "1 hour"),
        (21_600, "6 hours"),
        (27_123, "7.53 hours"),
        (7_200_000, "2000 hours"),
    ],
)
def test_lengths_are_said_in_the_unit_that_fits(seconds, said):
    assert lengths.spelled(seconds) == said
