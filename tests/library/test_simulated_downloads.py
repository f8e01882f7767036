"""Downloads on a simulated clock: whatever dies, fills up or is asked for, the library's promises hold.

Every download ends once, with a model or a true reason; a model is whole or not there; refused downloads
leave no records; never more children than allowed; no descriptor, thread, folder or lock is left over. A
failure names its seed. `python -m tools.simulate downloads` goes on for as long as you like.
"""

from __future__ import annotations

import logging

import pytest
from download_simulation import REFUSALS, live

WORLDS = 6
SECONDS = 300.0  # of simulated time in each
SEEN = (
    *("accepted", "pulled", "restarted", "child killed", "child crashed"),
    *(f"in the end {state}" for state in ("ready", "failed", "interrupted")),
    *("_burst: Busy", "_ask: Conflict", "_ask: no space"),
)


@pytest.mark.slow
def test_whatever_happens_the_library_s_promises_hold(caplog):
    caplog.set_level(logging.CRITICAL, logger="ominix")
    totals: dict[str, int] = {}
    lives = 0
    for seed in range(WORLDS):
        world = live(seed, SECONDS)
        lives += world.lives
        for outcome, count in world.outcomes.items():
            totals[outcome] = totals.get(outcome, 0) + count
    print(f"{lives} lives: {totals}")
    assert lives > 200
    assert set(SEEN) <= totals.keys()
    assert {outcome.partition(": ")[2] for outcome in totals} <= {*REFUSALS, ""}
