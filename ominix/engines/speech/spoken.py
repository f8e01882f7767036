"""Which language is spoken most in a recording. In: each clip's language and seconds. Out: that of all."""

from __future__ import annotations

from collections import defaultdict


class Spoken:
    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._weighted: defaultdict[str, float] = defaultdict(float)  # seconds times probability
        self._judged: defaultdict[str, float] = defaultdict(float)  # seconds with a probability

    def add(self, language: str, seconds: float, probability: float | None) -> None:
        """`probability` that it is this language; None: nobody knows."""
        self._seconds[language] += seconds
        if probability is not None:
            self._weighted[language] += seconds * probability
            self._judged[language] += seconds

    @property
    def language(self) -> str | None:
        return max(self._seconds, key=self._seconds.__getitem__, default=None)

    @property
    def probability(self) -> float | None:
        """Of that language: the mean over the clips in it, by their seconds."""
        seconds = self._judged.get(self.language or "", 0.0)
        return self._weighted[self.language or ""] / seconds if seconds else None
