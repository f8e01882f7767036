"""Makes speech with word times: `python -m training.tiny_aligner.synth --data FOLDER`.

Writes the splits train and unseen (held-out word sequences by voices never heard): NAME.i16 and NAME.jsonl.
"""

import argparse
import json
import multiprocessing
import random
from pathlib import Path

import numpy as np

from training.tiny_asr.voices import Voice, draw_voice
from training.tiny_asr.words import LANGUAGES, LENGTHS, draw_sequence

from .marks import Espeak, Times, speak

_Spoken = tuple[str, list[str], str, str, np.ndarray, Times]
_espeak: list[Espeak] = []  # this process's, once it is needed


def main() -> None:
    options = _options()
    options.data.mkdir(parents=True, exist_ok=True)
    orders = [(i, "unseen" if i < options.held_out else "train") for i in range(options.clips)]
    splits = ("train", "unseen")
    samples = {name: (options.data / f"{name}.i16").open("wb") for name in splits}
    lines = {name: (options.data / f"{name}.jsonl").open("w", encoding="utf-8") for name in splits}
    done = 0
    with multiprocessing.Pool(options.processes) as pool:
        for spoken in pool.imap_unordered(_spoken, orders, 16):
            if spoken is None:
                continue
            split, words, language, voice, sound, times = spoken
            start = samples[split].tell() // 2
            samples[split].write(sound.astype("<i2").tobytes())
            fields = {"words": words, "language": language, "voice": voice, "times": times}
            line = {**fields, "start": start, "length": len(sound)}
            lines[split].write(json.dumps(line, ensure_ascii=False) + "\n")
            done += 1
    print(f"{done} of {len(orders)} clips")


def _spoken(order: tuple[int, str]) -> _Spoken | None:
    number, split = order
    rng = random.Random(number)
    language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    count = rng.choices(list(LENGTHS), list(LENGTHS.values()))[0]
    words = draw_sequence(language, count, rng, split == "unseen")
    voice = _voice(language, rng, split == "unseen")
    try:
        if not _espeak:
            _espeak.append(Espeak())
        sound, times = speak(_espeak[0], voice, words, rng)
    except RuntimeError:  # a word without a mark
        return None
    sound = sound * (0.5 / max(1e-3, float(np.abs(sound).max())))
    return split, words, language, voice.label, np.round(sound * 32767), times


def _voice(language: str, rng: random.Random, unseen: bool) -> Voice:
    while True:
        voice = draw_voice(language, rng, unseen)
        if voice.engine in ("espeak", "flite"):  # the others tell no times
            return voice


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=14_000)
    parser.add_argument("--held-out", type=int, default=400, help="so many of them by voices never heard")
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
