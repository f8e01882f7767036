"""The seam between the speech engine and a speech model: what the engine asks of any recogniser.

    samples --features--> Features --begin--> Row --step, step, ...--> Draw --Answer.feed--> text

In: clips, mono samples at 16 kHz cut at pauses, and the job they belong to. Out: draws, the tokens of the
clips' answers with their probabilities; an `Answer` reads them as text.

The engine decides which clips are answered at once and in which order, joins their texts and sends the
events. The recogniser decides all that depends on its network: what a prompt holds, how audio is encoded,
what a token means, when an answer has ended. Therefore `step` is one bounded piece of whatever is to be done
next. It may give no draw (clips were encoded, a prompt was prefilled), one for each row (a decode step), or
several for one row: a model that decodes a clip again at a higher temperature when its first answer is bad
keeps the draws to itself until it is content.

A model may also go through a recording window by window (`TranscriptionJob.sequential`): each window begins
where the model says that the last one was finished, so the answer to one decides what is heard next.

    all samples --Survey.append, end--> a window's --Survey.features--> begin ... Verdict.heard_seconds

The engine's thread alone calls a recogniser, but for `features` and a `Survey`: they run beside `step` on the
thread that decodes audio, so they use numpy and not mlx.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ominix.wire.jobs import TranscriptionJob

if TYPE_CHECKING:
    import mlx.nn as nn

    from ominix.models.aligner import Aligner

SAMPLE_RATE_HZ = 16_000

Samples = npt.NDArray[np.float32]  # mono, 16 kHz, -1 to 1
Features = npt.NDArray[np.float32]  # (frames, bands); the engine only carries them


@dataclass(frozen=True)
class Prompt:
    """A job in the model's terms. Made once for all clips of the job."""

    before: tuple[int, ...]  # tokens before the audio; all of them where audio is not part of the prompt
    after: tuple[int, ...]  # tokens between the audio and the answer
    language: str | None  # an English name; None: the model is to find out
    temperature: float  # 0: the likeliest token
    rows: int = field(default=1, kw_only=True)  # of the engine's: what a clip's answer takes of the memory


@dataclass(frozen=True)
class Row:
    """A clip whose answer is being decoded; all rows are decoded side by side."""

    number: int
    prompt_tokens: int
    audio_tokens: int  # positions of the prompt that stand for audio


@dataclass(frozen=True)
class Draw:
    """A row's next token. Natural logarithms; temperature does not enter them."""

    row: int
    token: int
    logprob: float
    no_speech_logprob: float  # that the model would say here that nobody speaks, if it can say so here
    verdict: Verdict | None = None  # of the whole answer, if it is known by now; the same on all its draws


@dataclass(frozen=True)
class Span:
    """A segment as the model itself cuts its answer. Times in seconds from the start of the window."""

    start: float
    end: float
    tokens: tuple[int, ...]  # all of it, the times too
    text_tokens: int  # how many of them are the text's


@dataclass(frozen=True)
class Verdict:
    """How an answer came about, from a model that judges its answers itself."""

    temperature: float  # at which the accepted answer was drawn
    avg_logprob: float
    compression_ratio: float
    spans: tuple[Span, ...] = ()  # of a window in a sequence: together they are the text
    heard_seconds: float | None = None  # of a window in a sequence: where the next one begins


class Answer(Protocol):
    """What the model says to one clip, as it grows."""

    language: str | None  # an English name; None until it is known, and when nobody speaks
    language_prob: float | None  # that it is this one; None: it was given, or the model does not say
    no_speech_prob: float
    finished: bool  # the model has ended it: nothing that is drawn from now on matters
    tokens: list[int]  # those of the text
    logprobs: list[float]  # of these tokens, and of the answer's end once it has ended
    verdict: Verdict | None  # once it is known, from a model that gives one

    def feed(self, draw: Draw) -> str:
        """The text that this draw adds: whole characters."""
        ...

    def end(self) -> str:
        """The text that was held back. No draw follows."""
        ...


class Survey(Protocol):
    """What a model has to know of a whole recording to hear it window by window. One object a recording."""

    window_seconds: float  # heard at once
    hop_samples: int  # windows begin at multiples of it; what is shorter holds nothing
    margin_samples: int  # beside a window, that its features depend on

    def append(self, samples: Samples) -> None:
        """The recording's next samples. All of them come once, before the first window."""
        ...

    def end(self) -> None:
        """There are no more."""
        ...

    def features(self, before: Samples, samples: Samples, after: Samples) -> Features:
        """Of a window. `before`, `after`: the margin, as far as the recording has it."""
        ...


class Recogniser(Protocol):
    clip_seconds: float  # of speech in a clip, at most; a margin comes on top
    row_bytes: int  # memory that a row may take
    features_kind: str  # names what `features` gives, for other models that read the same

    @property
    def aligner(self) -> Aligner | None:
        """The same network as one that times words; None: it cannot."""
        ...

    def features(self, samples: Samples) -> Features:
        """What the model wants to know of a clip's samples. Any thread may call this."""
        ...

    def survey(self) -> Survey | None:
        """For a recording that is heard window by window; None: the model cannot say what it finished."""
        ...

    def prompt(self, job: TranscriptionJob) -> Prompt:
        """Raises JobRefused for a job that the model cannot do."""
        ...

    def answer(self, job: TranscriptionJob) -> Answer:
        """An empty answer to a clip of this job."""
        ...

    def token_limit(self, seconds: float) -> int:
        """Draws after which the answer to a clip of this length is cut off."""
        ...

    def bytes_of(self, token: int) -> bytes:
        """The token's part of a text as UTF-8, perhaps a part of a character."""
        ...

    def begin(self, clip: Features, prompt: Prompt) -> Row:
        """A new row. Computes nothing yet: `step` does."""
        ...

    def step(self) -> list[Draw]:
        """One bounded piece of work: some clips encoded, some prompts prefilled, or a token for every row."""
        ...

    def drop(self, rows: Collection[int]) -> None:
        """Forget these rows: their answers have ended, or nobody wants them any more."""
        ...


# Converts weights to what this machine computes with, and evaluates them.
Prepare = Callable[["nn.Module"], None]


def load(package: str, folder: Path, prepare: Prepare) -> Recogniser:
    """`package`: under ominix.models. Raises ValueError for a folder without its model, or a broken one."""
    module = importlib.import_module(f"ominix.models.{package}.recogniser")
    recogniser: Recogniser = module.load(folder, prepare)
    return recogniser
