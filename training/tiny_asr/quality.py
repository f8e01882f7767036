"""How wrong the model is: greedy answers by transformers, edit distance over words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor

from .store import Clip, Store
from .words import split


@dataclass(frozen=True)
class Answer:
    """What the model said: `language` is None where it heard nobody."""

    language: str | None
    text: str


def transcribe(
    asr: Qwen3ASRForConditionalGeneration,
    processor: Qwen3ASRProcessor,
    samples: np.ndarray,
    language: str | None = None,
    context: str | None = None,
) -> Answer:
    """One clip, (n,) float32 at 16 kHz; a given `language` is forced on the answer."""
    inputs = processor.apply_transcription_request(samples, language=language, prompt=context)
    inputs = inputs.to(asr.device, asr.dtype)
    with torch.inference_mode():
        ids = asr.generate(**inputs, max_new_tokens=48, do_sample=False)
    raw = processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    if language is not None:
        return Answer(language, raw.strip())
    parsed = processor.parse_output(raw)
    return Answer(parsed["language"], parsed["transcription"])


def distance(said: Sequence[str], true: Sequence[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(true) + 1))
    for i, word in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, wanted in enumerate(true, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != wanted))
    return row[-1]


@dataclass
class Score:
    """Adds up errors over clips."""

    errors: int = 0
    words: int = 0
    right_language: int = 0
    clips: int = 0

    def add(self, clip: Clip, answer: Answer) -> None:
        self.errors += distance(split(answer.text, clip.language), clip.words)
        self.words += len(clip.words)
        self.right_language += answer.language == clip.language
        self.clips += 1

    @property
    def word_error_rate(self) -> float:
        return self.errors / max(1, self.words)

    @property
    def language_accuracy(self) -> float:
        return self.right_language / max(1, self.clips)


def quick_check(
    asr: Qwen3ASRForConditionalGeneration,
    processor: Qwen3ASRProcessor,
    folder: Path,
    clips: int = 60,
) -> dict[str, float]:
    """Word error rates on the first clips of the splits `seen` and `unseen`."""
    rates = {}
    for name in ("seen", "unseen"):
        store, score = Store(folder, name), Score()
        for clip in store.clips[:clips]:
            score.add(clip, transcribe(asr, processor, store.samples(clip)))
        rates[name] = score.word_error_rate
    return rates
