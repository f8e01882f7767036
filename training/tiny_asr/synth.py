"""Makes the speech: `python -m training.tiny_asr.synth --data FOLDER`.

Writes the splits train, seen (held-out word sequences, voices heard in training), unseen (held-out
sequences, voices never heard) and single (single words, both kinds of voice).
"""

import argparse
import multiprocessing
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import voices
from .store import Writer
from .words import LANGUAGES, LENGTHS, draw_sequence


@dataclass(frozen=True)
class Order:
    """What one utterance shall be; `seed` fixes everything that is drawn."""

    seed: int
    split: str
    count: int  # words

    @property
    def for_evaluation(self) -> bool:
        return self.split != "train"


def main() -> None:
    """Synthesise every split, with a process for each core."""
    options = _options()
    if missing := voices.missing_packages():
        sys.exit("Speech cannot be made; still needed:\n  " + "\n  ".join(missing))
    orders = _orders(options.clips)
    splits = ("seen", "unseen", "single", "train")
    writers = {name: Writer(options.data, name) for name in splits}
    began = time.monotonic()
    with multiprocessing.Pool(options.processes) as pool:
        for done, (order, spoken) in enumerate(pool.imap_unordered(_spoken, orders, 16), 1):
            if spoken is not None:
                writers[order.split].add(*spoken)
            if done % 2000 == 0:
                print(f"{done} of {len(orders)} in {time.monotonic() - began:.0f} s", flush=True)
    for writer in writers.values():
        writer.close()


def _orders(clips: int) -> list[Order]:
    rng = random.Random(0)
    lengths, weights = list(LENGTHS), list(LENGTHS.values())
    counts = {"seen": 600, "unseen": 400, "single": 240, "train": clips}
    orders = []
    for split, total in counts.items():
        for _ in range(total):
            count = rng.choices(lengths, weights)[0]
            if split in ("seen", "unseen"):
                count = rng.choice([2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12])
            orders.append(Order(len(orders), split, 1 if split == "single" else count))
    return orders


def _spoken(order: Order) -> tuple[Order, tuple[list[str], str, str, np.ndarray] | None]:
    """The order with its words, language, voice and int16 samples; None where a voice failed."""
    rng = random.Random(order.seed)
    language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    words = draw_sequence(language, order.count, rng, order.for_evaluation)
    unseen = order.split == "unseen" or (order.split == "single" and rng.random() < 0.4)
    voice = voices.draw_voice(language, rng, unseen)
    try:
        samples = voices.speak(voice, words, rng)
    except (RuntimeError, OSError, voices.subprocess.SubprocessError) as problem:
        print(f"left out: {problem}", flush=True)
        return order, None
    samples *= 0.5 / np.abs(samples).max()
    label = voice.label + (" (unseen)" if unseen else "")
    return order, (words, language, label, np.round(samples * 32767).astype(np.int16))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder to write the clips to")
    parser.add_argument("--clips", type=int, default=30_000, help="training clips to make")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
