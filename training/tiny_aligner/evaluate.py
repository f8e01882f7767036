"""Word border errors by voices never heard.

    python -m training.tiny_aligner.evaluate --data FOLDER --model FOLDER

Runs ominix's own aligner. Prints a Markdown table; the model card holds that of the released weights.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ominix.cpu import backend
from training.tiny_asr.words import joined

from .data import Utterance, Utterances
from .marks import Times

_BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    found = backend.prepare()
    from ominix.engines.speech.loading import prepare  # brings mlx
    from ominix.models import aligner

    loaded = aligner.load("qwen3_asr", options.model, partial(prepare, backend=found))
    evaluation = Evaluation(Utterances(options.data, "unseen"), loaded)
    print("| what | words | mean | median | 90 % | within 0.1 s | evenly spread: median |")
    print("|---|---|---|---|---|---|---|")
    evaluation.row("all", lambda u: True)
    for language in ("English", "Spanish", "Chinese"):
        evaluation.row(language, lambda u, wanted=language: u.language == wanted)
    for engine in ("espeak", "flite"):
        evaluation.row(engine, lambda u, wanted=engine: u.voice.startswith(wanted))
    evaluation.row("5 words and more", lambda u: len(u.words) > 4)
    evaluation.long()


class Evaluation:
    def __init__(self, utterances: Utterances, aligner: object) -> None:
        self._utterances = utterances
        self._aligner = aligner

    def row(self, title: str, chosen: Callable[[Utterance], bool]) -> None:
        clips = [
            (self._utterances.samples(u), u.words, u.language, u.times)
            for u in self._utterances.all
            if chosen(u)
        ]
        self._print(title, clips)

    def long(self) -> None:
        """Utterances of one language joined to clips of 20 to 28 s, 0.7 s of silence between them."""
        clips = []
        for language in ("English", "Spanish", "Chinese"):
            pieces, words, times, samples = [], [], [], 0
            for utterance in (u for u in self._utterances.all if u.language == language):
                sound = np.pad(self._utterances.samples(utterance), (0, 11_200))
                times += [(samples / 16_000 + a, samples / 16_000 + b) for a, b in utterance.times]
                words, samples = words + utterance.words, samples + len(sound)
                pieces.append(sound)
                if samples > 20 * 16_000:
                    clips.append((np.concatenate(pieces)[: 30 * 16_000], words, language, times))
                    pieces, words, times, samples = [], [], [], 0
        self._print("joined to 20 to 30 s", clips)

    def _print(self, title: str, clips: list[tuple[np.ndarray, list[str], str, Times]]) -> None:
        from ominix.models import aligner
        from ominix.models.qwen3_asr import features

        spoken = [
            aligner.Utterance(
                features.log_mel(sound), joined(words, language), language, 0.0, len(sound) / 16_000
            )
            for sound, words, language, _ in clips
        ]
        errors, naive = [], []
        for i in range(0, len(spoken), _BATCH):
            found = self._aligner.align(spoken[i : i + _BATCH])
            for (sound, _, _, times), timed in zip(clips[i : i + _BATCH], found, strict=True):
                true = np.array(times)
                errors.append(np.abs(np.array([(w.start, w.end) for w in timed]) - true))
                borders = np.linspace(0, len(sound) / 16_000, len(times) + 1)
                naive.append(np.abs(np.stack([borders[:-1], borders[1:]], 1) - true))
        e, n = np.concatenate(errors).ravel() * 1000, np.concatenate(naive).ravel() * 1000
        ninth = np.percentile(e, 90)
        print(
            f"| {title} | {len(e) // 2} | {e.mean():.0f} ms | {np.median(e):.0f} ms | {ninth:.0f} ms "
            f"| {np.mean(e <= 100):.0%} | {np.median(n):.0f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
