"""Simulated lives of the pool, the text scheduler and the downloads, for as long as you like.

    python -m tools.simulate                        all three, a minute each
    python -m tools.simulate pool --minutes 60      hours, if you have them
    python -m tools.simulate downloads --seed 4711  one life again, as it was

A seed is a world: its clients, deaths, hangs and full disks come from it alone. Where a promise breaks, the
run stops with the seed. The worlds lie beside the tests of what they simulate.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
DOWNLOAD_SECONDS = 300.0  # of simulated time in a world


def pool(seed: int) -> tuple[int, str]:
    from test_simulated_lives import live

    return live(seed).lives, "workers"


def scheduler(seed: int) -> tuple[int, str]:
    from scheduler_simulation import live

    return len(live(seed).jobs), "jobs"


def downloads(seed: int) -> tuple[int, str]:
    from download_simulation import live

    return live(seed, DOWNLOAD_SECONDS).lives, "download children"


WORLDS: dict[str, Callable[[int], tuple[int, str]]] = {
    "pool": pool,
    "scheduler": scheduler,
    "downloads": downloads,
}


def run(name: str, seeds: list[int] | None, minutes: float) -> None:
    """`seeds`: those alone; None: new ones until the time is over. Raises where a promise breaks."""
    world, begun = WORLDS[name], time.monotonic()
    worlds = lives = 0
    first = random.randrange(1 << 30)
    unit = ""
    while worlds < len(seeds) if seeds else time.monotonic() - begun < minutes * 60:
        seed = seeds[worlds] if seeds else first + worlds
        try:
            born, unit = world(seed)
        except BaseException:
            print(f"{name}: seed {seed} breaks a promise; python -m tools.simulate {name} --seed {seed}")
            raise
        worlds += 1
        lives += born
    seconds = time.monotonic() - begun
    rate = lives / seconds * 60
    print(f"{name}: {worlds} worlds, {lives} {unit} in {seconds:.0f} s: {rate:.0f} lives a minute, 0 broken")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("worlds", nargs="*", help=f"of {', '.join(WORLDS)}; default: all")
    parser.add_argument("--seed", type=int, action="append", help="this world alone; may be repeated")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each (default 1)")
    given = parser.parse_args()
    unknown = set(given.worlds) - WORLDS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    sys.path[:0] = [str(TESTS / part) for part in ("", "workers", "engines/text", "library")]
    logging.disable(logging.CRITICAL)
    for name in given.worlds or WORLDS:
        run(name, given.seed, given.minutes)


if __name__ == "__main__":
    main()
