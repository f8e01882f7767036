"""A recogniser and stages without a network: what the speech engine needs of a model, and no more.

The toy hears how loud a clip is: "English:level 3." Its tokens are the bytes of the text; 256 ends an answer.
"None:" means that nobody speaks. With the language given, the answer is the text alone.
"""

from __future__ import annotations

import codecs
import math
from collections import deque

import numpy as np

from ominix.engines.speech.stages.stage import Stage
from ominix.errors import JobRefused
from ominix.models.recogniser import Answer, Draw, Prompt, Recogniser, Row
from ominix.text.sentences import TimedWord

END = 256
LOGPROB = -0.5
UNIT = 0.076  # mean absolute value of the loud frames of a sound of level 1


class ToyAnswer:
    def __init__(self, language):
        self.language = language
        self.language_prob = None
        self.no_speech_prob = 0.0
        self.finished = False
        self.tokens = []
        self.logprobs = []
        self.verdict = None
        self._header = None if language else ""
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, draw: Draw) -> str:
        self.no_speech_prob = max(self.no_speech_prob, math.exp(draw.no_speech_logprob))
        if draw.token == END:
            self.finished = True
            self.logprobs.append(draw.logprob)
            return ""
        piece = self._characters.decode(bytes([draw.token]))
        if self._header is None:
            self.tokens.append(draw.token)
            self.logprobs.append(draw.logprob)
            return piece
        self._header += piece
        if piece == ":":
            self.language = self._header[:-1]
            self._header = None
            if self.language == "None":
                self.language, self.finished = None, True
        return ""

    def end(self) -> str:
        """An answer without a language is all text."""
        rest = self._characters.decode(b"", final=True)
        return rest if self._header is None else self._header + rest


class ToyRecogniser:
    aligner = None
    clip_seconds = 3.0
    row_bytes = 1 << 20
    features_kind = "loudness"

    def __init__(self, *, limit=lambda seconds: 100, holds_back=False):
        """`holds_back`: all draws of a row come in one step."""
        self.token_limit = limit
        self.live = set()
        self._holds_back = holds_back
        self._number = 0
        self._begun = deque()
        self._coming = {}  # row -> tokens to come

    def features(self, samples):
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        return np.abs(frames).mean(axis=1, keepdims=True)

    def survey(self):
        return None

    def prompt(self, job):
        if job.language == "Thai":
            raise JobRefused("the toy knows no Thai", param="language")
        return Prompt(tuple(job.context.encode()), (), job.language, job.temperature)

    def answer(self, job):
        return ToyAnswer(job.language)

    def bytes_of(self, token):
        return bytes([token]) if token < END else b""

    def begin(self, clip, prompt):
        self._number += 1
        self.live.add(self._number)
        self._begun.append((self._number, clip, prompt))
        return Row(self._number, len(prompt.before), len(clip))

    def step(self):
        assert self.live, "a step without rows"
        if self._begun:
            row, clip, prompt = self._begun.popleft()
            text = f"level {round(float(np.percentile(clip, 90)) / UNIT)}."
            self._coming[row] = deque([*(text if prompt.language else f"English:{text}").encode(), END])
            return []
        count = 1000 if self._holds_back else 1
        return [
            Draw(row, tokens.popleft(), LOGPROB, -9.0)
            for row, tokens in self._coming.items()
            for _ in range(min(count, len(tokens)))
        ]

    def drop(self, rows):
        assert self.live.issuperset(rows)
        self.live.difference_update(rows)
        self._begun = deque(entry for entry in self._begun if entry[0] not in rows)
        for row in rows:
            self._coming.pop(row, None)


class ToyWords:
    """Words spread evenly over the clip."""

    needs = frozenset({"text", "features"})

    def __init__(self):
        self.batches = []

    def check(self, job):
        if job.language == "Greek":
            raise JobRefused("no times for Greek", param="timestamp_granularities")

    def run(self, parts):
        self.batches.append(len(parts))
        for part in parts:
            assert part.finished
            assert part.text
            assert part.features is not None
            words, place = part.text.split(), 0
            length = (part.clip.end - part.clip.start) / len(words)
            for i, word in enumerate(words):
                first = part.text.index(word, place)
                place = first + len(word)
                start = part.clip.start + i * length
                part.words.append(TimedWord(word, first, place, start, start + length))


class ToyLoudness:
    """Needs no text: runs as soon as a clip is there."""

    needs = frozenset({"samples"})

    def __init__(self):
        self.loudest = []

    def check(self, job):
        pass

    def run(self, parts):
        self.loudest += [float(np.abs(part.clip.samples).max()) for part in parts]


_ANSWER: Answer = ToyAnswer(None)  # the toys are what the seams ask for: mypy would say if not
_RECOGNISER: Recogniser = ToyRecogniser()
_STAGES: tuple[Stage, ...] = (ToyWords(), ToyLoudness())
