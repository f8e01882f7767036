"""Events: what a worker answers to a job, in order. Frozen values; times in seconds."""

from __future__ import annotations

from msgspec import Struct


class TokenLogprob(Struct, frozen=True, array_like=True):
    """One token with its natural-log probability; `top` holds the likeliest alternatives."""

    token: str
    logprob: float
    token_bytes: tuple[int, ...]
    top: tuple[TokenLogprob, ...] = ()


class Track(Struct, frozen=True, array_like=True):
    """The sound track that is transcribed, of a file that has several. Texts are the file's own."""

    index: int  # of all the file's streams, from 0 on
    count: int  # of sound tracks
    codec: str
    language: str = ""
    title: str = ""


class Started(Struct, frozen=True, array_like=True, tag=True):
    """The job was understood and its input fits; what follows is the answer."""

    notice: str | None = None  # what the person has to know before the work: not all will be heard
    track: Track | None = None


class Delta(Struct, frozen=True, array_like=True, tag=True):
    """New text of choice `index`. Whole characters only."""

    text: str
    index: int = 0
    reasoning: bool = False  # what the model thinks before it answers
    logprobs: tuple[TokenLogprob, ...] = ()
    recalls: bool = False  # all text of the choice up to here was reasoning, which shows only now


class ToolCall(Struct, frozen=True, array_like=True, tag=True):
    """The next call of choice `index` begins. What follows up to another one or to Finished is its own."""

    id: str  # unique in the conversation
    name: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


class ToolArguments(Struct, frozen=True, array_like=True, tag=True):
    """New text of the arguments of the last call of choice `index`. All pieces together are a JSON object,
    unless the answer was cut."""

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


class Finished(Struct, frozen=True, array_like=True, tag=True):
    """Choice `index` has ended; reason is "stop", "length" or "tool_calls"."""

    reason: str
    index: int = 0


class ChatDone(Struct, frozen=True, array_like=True, tag=True):
    """The end of a chat job, with its token counts over all choices."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Progress(Struct, frozen=True, array_like=True, tag=True):
    """So much of the audio has been worked through."""

    done_seconds: float
    total_seconds: float | None  # None: not known yet


class Word(Struct, frozen=True, array_like=True):
    """A word of the text, without the marks around it. Times in seconds from the start of the file."""

    text: str
    start: float
    end: float
    probability: float | None = None  # mean of its tokens'; None: not known


class Segment(Struct, frozen=True, array_like=True, tag=True):
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
    language: str | None = None  # English name
    channel: int | None = None  # of separate ones, from 0 on
    speaker: str = ""  # that channel's name
    seek_seconds: float | None = None  # where the window began that it was heard in; None: at `start`
    compression_ratio: float | None = None  # of the window's text; None: of this text
    language_prob: float | None = None  # that it is this language; None: it was given, or nobody knows


class TranscriptionDone(Struct, frozen=True, array_like=True, tag=True):
    """The end of a transcription; `text` is the sum of its deltas."""

    text: str
    language: str | None  # English name; None: nothing was said
    duration_seconds: float
    prompt_tokens: int = 0  # of the text around the audio
    audio_tokens: int = 0
    completion_tokens: int = 0
    subtitles: str | None = None  # the file in the form that the job asks for
    notice: str | None = None  # what the person has to know: the recording is longer than what was heard
    language_probability: float | None = None  # None: it was given, or the model does not say


class Refused(Struct, frozen=True, array_like=True, tag=True):
    """The job's end: the input cannot be served as it is. The client's fault, said so it can be mended."""

    message: str
    param: str | None = None
    code: str | None = None


class Failed(Struct, frozen=True, array_like=True, tag=True):
    """The job's end: inference went wrong. Not the client's fault."""

    message: str
    is_final: bool = False  # the same input would fail again


Event = (
    Started
    | Delta
    | ToolCall
    | ToolArguments
    | Finished
    | ChatDone
    | Progress
    | Segment
    | TranscriptionDone
    | Refused
    | Failed
)
LAST = (ChatDone, TranscriptionDone, Refused, Failed)  # after one of these a job has no more events
