"""Measures a checkpoint: `python -m training.tiny_asr.evaluate --data FOLDER --model FOLDER`.

Prints one Markdown table; the model card holds the table of the released weights.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soxr
import torch
from transformers import AutoProcessor, Qwen3ASRForConditionalGeneration

from . import augment
from .quality import Answer, Score, transcribe
from .store import Clip, Store

_LENGTHS = ((1, 1), (2, 4), (5, 8), (9, 12))  # words
_Distort = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    evaluation = Evaluation(options.model, options.data, options.clips)
    print("| what | clips | word errors | language right |\n|---|---|---|---|", flush=True)
    evaluation.clean()
    evaluation.distorted()
    evaluation.prompted()
    evaluation.without_speech()


class Evaluation:
    """One checkpoint (in float32) against the held-out splits."""

    def __init__(self, model: Path, data: Path, clips: int) -> None:
        self._asr = Qwen3ASRForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
        self._asr.eval()
        self._processor = AutoProcessor.from_pretrained(model)
        self._stores = {name: Store(data, name) for name in ("seen", "unseen", "single")}
        self._clips = clips

    def clean(self) -> None:
        """As synthesised: by split, voice, language and number of words."""
        for name, store in self._stores.items():
            said = [(clip, self._answer(store, clip)) for clip in self._some(name)]
            heard = {"seen": "voices heard in training", "unseen": "voices never heard"}
            title = heard.get(name, "single words")
            _row(title, said)
            for label, chosen in _parts(said, title).items():
                _row(f"- {label}", chosen)

    def distorted(self) -> None:
        """The held-out sequences by known voices after what recordings suffer."""
        distortions: dict[str, _Distort] = {
            "8 kHz and back": lambda x, _: soxr.resample(soxr.resample(x, 16000, 8000), 8000, 16000),
            "noise at 20 dB": _noisy,
            "2 s of silence before and after": lambda x, _: np.pad(x, 32000),
            "20 dB quieter": lambda x, _: x * np.float32(0.1),
            "cut into a 0.9 s pause": _paused,
        }
        for title, distort in distortions.items():
            rng = np.random.default_rng(5)
            _row(title, self._said(lambda x, d=distort, r=rng: d(x, r)))

    def prompted(self) -> None:
        """With the language forced, and with a context in the system turn."""
        store = self._stores["seen"]
        forced = [(c, self._answer(store, c, language=c.language)) for c in self._some("seen", 120)]
        _row("language forced (the true one)", forced)
        context = "Vocabulary: numbers, colours and commands."
        _row("with a context", self._said(lambda x: x, context=context))

    def without_speech(self) -> None:
        """How many of 60 clips of silence, noise, hum and clicks give an empty text."""
        rng = np.random.default_rng(9)
        noises = augment.Noises(rng)
        for title, language in (("free", None), ("language forced", "English")):
            answers = [
                transcribe(self._asr, self._processor, noises.without_speech(rng), language)
                for _ in range(60)
            ]
            empty = sum(answer.text == "" for answer in answers)
            print(f"| silence and noise, {title}: empty text | 60 | {empty} of 60 empty | |")

    def _said(
        self, distort: Callable[[np.ndarray], np.ndarray], context: str | None = None
    ) -> list[tuple[Clip, Answer]]:
        store = self._stores["seen"]
        return [
            (c, transcribe(self._asr, self._processor, distort(store.samples(c)), None, context))
            for c in self._some("seen", 120)
        ]

    def _answer(self, store: Store, clip: Clip, language: str | None = None) -> Answer:
        return transcribe(self._asr, self._processor, store.samples(clip), language)

    def _some(self, name: str, most: int = 100_000) -> list[Clip]:
        return self._stores[name].clips[: min(most, self._clips)]


def _noisy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    level = np.sqrt(np.mean(samples**2)) * 0.1
    return (samples + rng.normal(0, level, len(samples))).astype(np.float32)


def _paused(samples: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """A 0.9 s hole where the clip is quietest, away from its ends."""
    frame = 320
    energy = np.square(samples[: len(samples) // frame * frame]).reshape(-1, frame).sum(1)
    energy = np.convolve(energy, np.ones(3), "same")
    edge = max(1, len(energy) // 5)
    place = (edge + int(np.argmin(energy[edge:-edge]))) * frame
    return np.concatenate([samples[:place], augment.silence(0.9), samples[place:]])


def _parts(said: list[tuple[Clip, Answer]], title: str) -> dict[str, list[tuple[Clip, Answer]]]:
    """The clips of one split by synthesiser, language and length."""
    parts: dict[str, list[tuple[Clip, Answer]]] = {}
    for clip, answer in said:
        engine, name = clip.voice.removesuffix(" (unseen)").split(":")
        labels = [engine if engine in ("espeak", "pico") else f"{engine} {name}", clip.language]
        if title == "single words":
            labels = ["voices never heard" if "unseen" in clip.voice else "voices heard"]
        for low, high in _LENGTHS[1:]:
            if low <= len(clip.words) <= high:
                labels.append(f"{low} to {high} words")
        if clip.length > 8 * augment.RATE:
            labels.append("longer than 8 s")
        for label in labels:
            parts.setdefault(label, []).append((clip, answer))
    return dict(sorted(parts.items()))


def _row(title: str, said: Iterable[tuple[Clip, Answer]]) -> None:
    score = Score()
    for clip, answer in said:
        score.add(clip, answer)
    rate, language = score.word_error_rate, score.language_accuracy
    print(f"| {title} | {score.clips} | {rate:.1%} | {language:.1%} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=600, help="at most so many of each split")
    return parser.parse_args()


if __name__ == "__main__":
    main()
