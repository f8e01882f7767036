"""Everything that crosses the pipe between the server and a worker: jobs go down, events come back.

Plain frozen dataclasses of plain values. Knows nothing about HTTP, processes or mlx.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_MAX_TOKENS = 2048


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Names and meanings are the OpenAI API's, the last three mlx-lm's."""

    temperature: float = 0.7  # 0 is greedy
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    seed: int | None = None
    top_k: int = 0  # 0: off
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class ChatJob:
    """A conversation to continue. Events: Started, then Delta and Finished per choice, then ChatDone."""

    messages: tuple[dict[str, Any], ...]  # role and content as strings, developer already system
    sampling: Sampling = Sampling()
    max_tokens: int | None = None  # None: not asked for; DEFAULT_MAX_TOKENS or what the context holds
    stop: tuple[str, ...] = ()
    n: int = 1
    top_logprobs: int | None = None  # None: no logprobs; 0: those of the chosen tokens alone
    template_options: dict[str, Any] = field(default_factory=dict)  # e.g. enable_thinking


@dataclass(frozen=True)
class Cutting:
    """How a recording is cut at its pauses."""

    threshold: float = 0.5  # the chance from which on a sound counts as speech
    padding_seconds: float = 0.3  # of what is heard before the speech
    silence_seconds: float = 0.6  # a pause that ends a segment; 2 s always do
    shortest_seconds: float = 2.0  # a segment below this goes on after a pause of up to 2 s


@dataclass(frozen=True)
class TranscriptionJob:
    """An audio file to write down. Events: Started, Progress, Segment, Delta, then TranscriptionDone."""

    path: str
    language: str | None = None  # an English name of the language table; None: the model's guess
    context: str = ""  # names and words that are likely to occur
    temperature: float = 0.0
    logprobs: bool = False  # deltas carry each token's
    cutting: Cutting = Cutting()
    aligner: str | None = None  # the folder of the model that times words; None: nobody asks for words


Job = ChatJob | TranscriptionJob


@dataclass(frozen=True)
class TokenLogprob:
    """One token with its natural-log probability; `top` holds the likeliest alternatives."""

    token: str
    logprob: float
    token_bytes: tuple[int, ...]
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Started:
    """The job was understood and its input fits; what follows is the answer."""


@dataclass(frozen=True)
class Delta:
    """New text of choice `index`. Whole characters only."""

    text: str
    index: int = 0
    reasoning: bool = False  # text from inside <think>
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """Choice `index` has ended; reason is "stop" or "length"."""

    reason: str
    index: int = 0


@dataclass(frozen=True)
class ChatDone:
    """The end of a chat job, with its token counts over all choices."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True)
class Progress:
    """So much of the audio has been worked through."""

    done_seconds: float
    total_seconds: float | None  # None: not known yet


@dataclass(frozen=True)
class Word:
    """A word of the text, without the marks around it. Times in seconds from the start of the file."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech with its text. Times in seconds from the start of the file."""

    id: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] = ()  # all of its text's, if the job asked for them


@dataclass(frozen=True)
class TranscriptionDone:
    """The end of a transcription; `text` is the sum of its deltas."""

    text: str
    language: str | None  # English name; None: nothing was said
    duration_seconds: float
    prompt_tokens: int = 0  # of the text around the audio
    audio_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Refused:
    """The job's end: the input cannot be served as it is. The client's fault, said so it can be mended."""

    message: str
    param: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Failed:
    """The job's end: inference went wrong. Not the client's fault."""

    message: str


Event = Started | Delta | Finished | ChatDone | Progress | Segment | TranscriptionDone | Refused | Failed
LAST = (ChatDone, TranscriptionDone, Refused, Failed)  # after one of these a job has no more events


@dataclass(frozen=True)
class EngineSpec:
    """What a worker is to load. The module `ominix.engines.<kind>` has `load(spec) -> Engine`."""

    kind: str
    path: str  # the model's folder; "" for engines without one
    slots: int  # jobs that may be aboard at once
    cache_bytes: int | None = None  # the bound for kept caches; None: the engine's own choice
    limit_bytes: int | None = None  # resident memory at which the worker ends itself
