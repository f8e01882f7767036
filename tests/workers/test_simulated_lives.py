"""Thousands of workers' lives on a simulated clock: whatever happens, the pool's promises hold.

Every job ends once, with an answer or a true reason; slots, the number of workers, the budget and pins
hold; nothing is left over. A failure names its seed: OMINIX_SIMULATION_SEED=n replays it alone.
"""

from __future__ import annotations

import gc
import logging
import os

import pytest
from simulation import World

pytestmark = pytest.mark.slow

WORLDS = 15
SECONDS = 1200.0  # of simulated time in each
SEEN = (
    *("left", "Busy", "Unavailable", "WorkerCrashed", "JobRefused", "InferenceFailed"),
    *("died of SIGSEGV", "failed with RuntimeError", "ended with exit code 1"),
    "sent something that is no message and was stopped",
    "gave no sign of life for 5 s and was stopped",
    "could not be loaded: no weights",
    "could not be loaded: no progress for 15 s",
    "could not be started: Resource temporarily unavailable",
    "the server is shutting down",
)
SEED = os.environ.get("OMINIX_SIMULATION_SEED")


def live(seed: int) -> World:
    world = World(seed)
    try:
        world.arrive()
        world.run(SECONDS)
        world.end()
    except BaseException as error:
        error.add_note(f"replay with OMINIX_SIMULATION_SEED={seed}")
        raise
    return world


def test_whatever_happens_the_pool_s_promises_hold(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.CRITICAL, logger="ominix.workers")
    totals: dict[str, int] = {}
    lives = 0
    for seed in [int(SEED)] if SEED else range(WORLDS):
        world = live(seed)
        lives += world.lives
        for outcome, count in world.outcomes.items():
            totals[outcome] = totals.get(outcome, 0) + count
        gc.collect()
        assert not world.streams, "streams are left over"
    print(f"{lives} lives: {totals}")
    if not SEED:
        assert lives > 2000
        assert totals["answered"] > 1000
        assert set(SEEN) <= totals.keys()
