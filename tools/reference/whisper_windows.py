"""Our Whisper's first windows against faster-whisper's, token by token.

    python -m tools.reference.whisper_windows FOLDER REFERENCE.json RECORDINGS

FOLDER holds the model in any layout; RECORDINGS the files that REFERENCE.json has outputs for: by file name
`greedy` with `language` and `segments` (seek, start, end, tokens, avg_logprob, no_speech_prob), made with
timestamps, at temperature 0 without fallback, in float32. Files of other sample rates are left out. Exit 1 if
a window differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ominix.cpu import backend

BACKEND = backend.prepare()  # before mlx is imported

import numpy as np  # noqa: E402
import soundfile  # noqa: E402

from ominix.cpu import door  # noqa: E402
from ominix.models.whisper import features, weights  # noqa: E402
from ominix.models.whisper.encodings import Encodings  # noqa: E402
from ominix.models.whisper.prompts import Prompts  # noqa: E402
from ominix.models.whisper.rows import Newcomer, Rows  # noqa: E402
from ominix.models.whisper.rules import Rules  # noqa: E402
from ominix.models.whisper.segments import cut  # noqa: E402
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary  # noqa: E402

SECONDS = 0.011  # timestamps are 0.02 apart, and rounded


@dataclass(frozen=True)
class Window:
    segments: list[tuple[float, float, list[int]]]
    avg_logprob: float
    no_speech_prob: float

    def equals(self, other: Window) -> bool:
        pairs = list(zip(self.segments, other.segments, strict=False))
        times = all(
            abs(a - b) < SECONDS for mine, theirs in pairs for a, b in zip(mine[:2], theirs[:2], strict=True)
        )
        tokens = [segment[2] for segment in self.segments] == [segment[2] for segment in other.segments]
        return times and tokens


class Ours:
    def __init__(self, folder: Path) -> None:
        self._model = weights.load(folder)
        door.settle(self._model, BACKEND, lambda model: True)
        self.tokens = SpecialTokens(self._model.config.n_vocab)
        vocabulary = Vocabulary(self.tokens.multilingual)
        self._rules = Rules(vocabulary, self.tokens, timestamps=True)
        self._prompts = Prompts(vocabulary, self.tokens, self._model.config.n_text_ctx)
        self._encodings = Encodings(self._model)

    def first_window(self, samples: np.ndarray, language: str) -> Window:
        config = self._model.config
        mel = features.features(samples, config.n_mels)[: config.frames]
        prompt = self._prompts.start(language, translate=False, timestamps=True)
        rows = Rows(self._model, self.tokens.no_speech)
        samples_of = rows.join([Newcomer(1, self._encodings.of(mel), prompt, 0, self._rules, 0.0)])
        sampled, total = [], samples_of[0].logprob
        while samples_of[0].token != self.tokens.end and len(sampled) < config.n_text_ctx // 2:
            sampled.append(samples_of[0].token)
            samples_of = rows.step()
            total += samples_of[0].logprob
        found = cut(sampled, self.tokens, len(mel) / features.FRAMES_PER_SECOND)
        segments = [(part.start, part.end, list(part.tokens)) for part in found.segments]
        return Window(segments, total / (len(sampled) + 1), float(np.exp(samples_of[0].no_speech_logprob)))


def theirs(segments: list[dict[str, Any]], first_timestamp: int) -> Window:
    parts = [(s["start"], s["end"], [t for t in s["tokens"] if t < first_timestamp]) for s in segments]
    return Window(parts, segments[0]["avg_logprob"], segments[0]["no_speech_prob"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("recordings", type=Path)
    args = parser.parse_args(argv)
    ours, verdicts = Ours(args.folder), []
    for name, clip in json.loads(args.reference.read_text("utf-8"))["clips"].items():
        segments = [s for s in clip["greedy"]["segments"] if s["seek"] == 0]
        samples, rate = soundfile.read(args.recordings / name, dtype="float32", always_2d=True)
        if not segments or rate != 16_000:
            continue
        language = clip["greedy"].get("language") or clip["detect"]["language"]
        mine, other = (
            ours.first_window(samples.mean(1), language),
            theirs(segments, ours.tokens.first_timestamp),
        )
        verdicts.append(mine.equals(other))
        apart = abs(mine.avg_logprob - other.avg_logprob), abs(mine.no_speech_prob - other.no_speech_prob)
        verdict = "equal" if verdicts[-1] else "DIFFERS"
        print(f"{name}: {verdict}, avg_logprob {apart[0]:.0e}, no_speech {apart[1]:.0e} apart")
        if not verdicts[-1]:
            print(f"  ours   {mine.segments}\n  theirs {other.segments}")
    print(f"{sum(verdicts)} of {len(verdicts)} windows are equal")
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
