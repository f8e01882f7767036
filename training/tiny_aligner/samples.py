"""Recordings with word times for the tests.

    python -m training.tiny_aligner.samples --data FOLDER --to FOLDER

One a language, of held-out word sequences by voices never heard, with a second of silence between them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

from training.tiny_asr.words import joined

from .data import Utterances

_SECONDS = 9.0
_PAUSE = 16_000  # samples
_RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    utterances = Utterances(options.data, "unseen")
    listed = []
    for language in ("English", "Spanish", "Chinese"):
        pieces, words, times = [np.zeros(_PAUSE // 2, np.float32)], [], []
        for utterance in utterances.all:
            length = sum(map(len, pieces))
            if utterance.language != language or len(utterance.words) < 3 or length > _SECONDS * _RATE:
                continue
            times += [(length / _RATE + a, length / _RATE + b) for a, b in utterance.times]
            words += utterance.words
            pieces += [utterances.samples(utterance), np.zeros(_PAUSE, np.float32)]
        name = f"marked-{language.lower()}.ogg"
        soundfile.write(options.to / name, np.concatenate(pieces), _RATE, format="OGG", subtype="VORBIS")
        marks = [[w, round(a, 3), round(b, 3)] for w, (a, b) in zip(words, times, strict=True)]
        listed.append({"file": name, "language": language, "text": joined(words, language), "words": marks})
    lines = ",\n".join(json.dumps(clip, ensure_ascii=False) for clip in listed)
    (options.to / "marked.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
