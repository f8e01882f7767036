"""Clips on disk: one file of 16-bit samples and one JSON line for each clip."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Clip:
    """One utterance; `start` and `length` count samples at 16 kHz in the split's sample file."""

    words: list[str]
    language: str
    voice: str
    start: int
    length: int


class Writer:
    """Appends clips to the split `name` of `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._samples = (folder / f"{name}.i16").open("wb")
        self._lines = (folder / f"{name}.jsonl").open("w", encoding="utf-8")
        self._position = 0

    def add(self, words: list[str], language: str, voice: str, samples: np.ndarray) -> None:
        """`samples` is (n,) int16."""
        clip = Clip(words, language, voice, self._position, len(samples))
        self._samples.write(samples.astype("<i2").tobytes())
        self._lines.write(json.dumps(asdict(clip), ensure_ascii=False) + "\n")
        self._position += len(samples)

    def close(self) -> None:
        self._samples.close()
        self._lines.close()


class Store:
    """Holds the split `name` of `folder` in memory (a training set is more than a gigabyte)."""

    def __init__(self, folder: Path, name: str) -> None:
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        self.clips = [Clip(**json.loads(line)) for line in lines]
        self._samples = np.fromfile(folder / f"{name}.i16", dtype="<i2")

    def samples(self, clip: Clip) -> np.ndarray:
        """(length,) float32 in [-1, 1]."""
        return self._samples[clip.start : clip.start + clip.length].astype(np.float32) / 32768

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)
