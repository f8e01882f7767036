"""An engine without a model that obeys its prompt: for tests and contract runs, never for users.

The last message's first word (of a transcription: its prompt's) is the verb:

    sleep S     wait S seconds, then answer     tick S     wait S seconds after every token
    raise       an exception in a step          segfault   SIGSEGV
    stumble     an exception in `admit`         panic      the same, but no Exception
    hang        never return                    lock       the same with the interpreter locked
    stuck       no progress, others go on       deaf       the same, and a cancel does not help
    eat MIB     take so much memory, for good   exit N     end the process with that code
    refuse      JobRefused                      fail       the Failed event
    think       answer with reasoning first     say TEXT   TEXT itself, a word at a time
    call NAME ARGUMENTS                         a call of a tool, if there are tools; `&` before another one

Anything else is answered with `word0 word1 ...` up to max_tokens, at most 256; `tick` goes on for longer.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from ominix.errors import JobRefused
from ominix.text.subtitles import Subtitles
from ominix.wire.control import EngineSpec
from ominix.wire.events import (
    LAST,
    ChatDone,
    Delta,
    Event,
    Failed,
    Finished,
    Segment,
    Started,
    TokenLogprob,
    ToolArguments,
    ToolCall,
    TranscriptionDone,
    Word,
)
from ominix.wire.jobs import DEFAULT_MAX_TOKENS, ChatJob, Job, Message, TranscriptionJob, close_descriptors_of

FULL_SECONDS = 0.5  # in which one that has taken memory is being taken in: the guard looks each 0.2 s
IDLE_SECONDS = 0.005  # a step in which every job sleeps


def load(spec: EngineSpec) -> Scripted:
    """As the end of the path says: "broken" raises RuntimeError, "endless" never returns, "huge" takes memory
    for ever."""
    if spec.path.endswith("endless"):
        time.sleep(3600)
    eaten = []
    while spec.path.endswith("huge"):
        eaten.append(b"x" * (1 << 20))
        time.sleep(0.005)
    if spec.path.endswith("broken"):
        raise RuntimeError(f"the weights at {spec.path} are scripted to be broken")
    return Scripted()


class Panic(BaseException):
    """What pyo3 raises where Rust panics is no Exception either."""


@dataclass(frozen=True)
class Name:
    """A token that begins a call of this tool."""

    text: str


@dataclass
class Script:
    """One job on its way: the tokens still to come and when the next one is due."""

    job: Job
    limit: int
    choices: int
    tokens: Iterator[str | Name]
    due: float
    tick_seconds: float = 0.0
    reasoning_left: int = 0
    emitted: int = 0
    text: str = ""
    calls: bool = False  # has begun to
    failed: bool = False
    raises: str | None = None  # with which words
    started: bool = False
    events: list[Event] = field(default_factory=list)


class Scripted:
    def __init__(self) -> None:
        self._scripts: dict[int, Script] = {}
        self._eaten: list[bytearray] = []

    @property
    def idle(self) -> bool:
        return not self._scripts

    def admit(self, job_id: int, job: Job) -> None:
        prompt = _prompt(job)
        verb, _, rest = prompt.partition(" ")
        if verb == "refuse":
            raise JobRefused("refused as asked", param="messages")
        if verb == "stumble":
            raise RuntimeError("stumbled as asked")
        if verb == "panic":
            raise Panic("panicked as asked")
        now = time.monotonic()
        text = rest if verb == "say" else ""
        words: Iterator[str | Name] = (f"{verb}{i} " for i in range(_words(verb)))
        if text:
            words = iter(_pieces(text))
        if verb == "call" and isinstance(job, ChatJob) and job.tools:
            words = iter(_calls(rest, 1 << 10 if job.parallel_tool_calls else 1))
        script = Script(job, _limit(job), job.n if isinstance(job, ChatJob) else 1, words, due=now)
        if verb == "sleep":
            script.due = now + _number(rest)
        elif verb == "tick":
            script.tick_seconds = _number(rest)
        elif verb == "think":
            script.reasoning_left = 2
        elif verb in ("stuck", "deaf"):
            script.due = math.inf
        script.failed = verb == "fail"
        script.raises = (rest or "raised as asked") if verb == "raise" else None
        self._scripts[job_id] = script
        self._misbehave(verb, rest)

    def _misbehave(self, verb: str, rest: str) -> None:
        if verb == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif verb == "hang":
            time.sleep(3600)
        elif verb == "lock":
            ctypes.PyDLL(None).sleep(3600)  # PyDLL keeps the interpreter lock
        elif verb == "eat":
            self._eaten += [bytearray(os.urandom(1) * (1 << 20)) for _ in range(int(_number(rest)))]
            time.sleep(FULL_SECONDS)
        elif verb == "exit":
            os._exit(int(_number(rest)))

    def progress(self) -> Mapping[int, int]:
        """Who sleeps waits for his turn."""
        now = time.monotonic()
        working = {i: s for i, s in self._scripts.items() if not now < s.due < math.inf}
        return {job_id: script.emitted for job_id, script in working.items()}

    def cancel(self, job_id: int) -> None:
        if self._scripts.get(job_id) and _prompt(self._scripts[job_id].job) == "deaf":
            return
        script = self._scripts.pop(job_id, None)
        if script is not None:
            close_descriptors_of(script.job)

    def step(self) -> list[tuple[int, Event]]:
        now = time.monotonic()
        events: list[tuple[int, Event]] = []
        for job_id, script in list(self._scripts.items()):
            for event in self._advance(script, now):
                events.append((job_id, event))
                if isinstance(event, LAST):
                    self.cancel(job_id)
        if not events and self._scripts:
            time.sleep(IDLE_SECONDS)
        return events

    def _advance(self, script: Script, now: float) -> list[Event]:
        if script.raises:
            raise RuntimeError(script.raises)
        events: list[Event] = []
        if not script.started:
            script.started = True
            events.append(Started())
        if script.due > now:
            return events
        if script.failed:
            return [*events, Failed("failed as asked")]
        token = next(script.tokens, None) if script.emitted < script.limit else None
        if token is None:
            return events + self._ending(script)
        script.due = now + script.tick_seconds
        script.emitted += 1
        if isinstance(token, Name):
            script.calls = True
            ids = [f"call_{os.urandom(12).hex()}" for _ in range(script.choices)]
            return events + [ToolCall(ids[index], token.text, index) for index in range(script.choices)]
        if script.calls:
            return events + [ToolArguments(token, index) for index in range(script.choices)]
        script.text += token
        reasoning = script.reasoning_left > 0
        script.reasoning_left -= reasoning
        return events + [
            Delta(token, index, reasoning, self._logprobs(script.job, token))
            for index in range(script.choices)
        ]

    @staticmethod
    def _logprobs(job: Job, token: str) -> tuple[TokenLogprob, ...]:
        likeliest = TokenLogprob(token, -0.5, tuple(token.encode()))
        if isinstance(job, TranscriptionJob):
            return (likeliest,) if job.logprobs else ()
        if job.top_logprobs is None:
            return ()
        return (TokenLogprob(token, -0.5, likeliest.token_bytes, (likeliest,) * job.top_logprobs),)

    @staticmethod
    def _ending(script: Script) -> list[Event]:
        job = script.job
        if isinstance(job, TranscriptionJob):
            return _transcript(job, script.text.strip())
        reason = "tool_calls" if script.calls else "stop"
        if script.emitted >= script.limit:
            reason = "length"
        prompt_tokens = sum(len(_text(message).split()) for message in job.messages)
        done = ChatDone(prompt_tokens, script.emitted * job.n)
        return [*(Finished(reason, index) for index in range(job.n)), done]


def _transcript(job: TranscriptionJob, text: str) -> list[Event]:
    words = tuple(_words_of(text)) if "words" in job.helpers else ()
    segment = Segment(0, 0.0, 1.0, text, temperature=job.temperature, words=words)
    done = TranscriptionDone(text, job.language or "English", 1.0)
    if job.subtitles is None:
        return [segment, done]
    subtitles = Subtitles(job.subtitles)
    subtitles.add(segment)
    return [msgspec.structs.replace(done, subtitles=subtitles.text(done.duration_seconds))]


def _words_of(text: str) -> Iterator[Word]:
    """Evenly spread over the second that the recording lasts."""
    words = text.split()
    for i, word in enumerate(words):
        yield Word(word, i / len(words), (i + 1) / len(words))


def _prompt(job: Job) -> str:
    if isinstance(job, ChatJob):
        return _text(job.messages[-1]) or "hello"
    if not os.fstat(job.audio).st_size:
        raise JobRefused("the file is empty", param="file", code="invalid_audio_format")
    return job.context or "hello"


def _text(message: Message) -> str:
    return "".join(message.content)  # of a text's letters or of its parts


def _limit(job: Job) -> int:
    if isinstance(job, TranscriptionJob):
        return 100
    return DEFAULT_MAX_TOKENS if job.max_tokens is None else job.max_tokens


def _pieces(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]]


def _calls(text: str, most: int) -> list[str | Name]:
    tokens: list[str | Name] = []
    for call in text.split(" & ")[:most]:
        name, _, arguments = call.strip().partition(" ")
        tokens += [Name(name), *_pieces(arguments or "{}")]
    return tokens


def _words(verb: str) -> int:
    return 1_000_000 if verb == "tick" else 256


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
