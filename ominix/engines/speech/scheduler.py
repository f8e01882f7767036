"""The speech engine: recordings to text, all that wait at once.

Everything that touches mlx happens in `step`: one encoder batch, one batch of prompts or one decoder step
at a time. Knows nothing of pipes and HTTP.
"""

from __future__ import annotations

import zlib
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import mlx.core as mx

from ominix.cpu import threads
from ominix.cpu.backend import Backend
from ominix.engines import memory
from ominix.engines.speech import loading
from ominix.engines.speech.reader import Reader
from ominix.engines.speech.recording import Limit, Part, Transcription, token_limit
from ominix.engines.speech.rows import Draw, Newcomer, Rows
from ominix.engines.speech.stages.words import Aligner, Shelf, Spoken
from ominix.errors import JobRefused
from ominix.models.qwen3_asr import config, tokenizer, weights
from ominix.models.qwen3_asr.features import SAMPLE_RATE_HZ, Mel
from ominix.models.qwen3_asr.model import Model
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.wire.control import EngineSpec
from ominix.wire.events import Event, Refused
from ominix.wire.jobs import Job, TranscriptionJob

MAX_PROMPT_TOKENS = 2048  # around the audio
_ROWS_AT_LEAST = 4  # the clips of one long recording are answered side by side, too
_ROW_TOKENS = 1200  # half a minute of audio, its prompt and its answer
_AHEAD = 2  # clips of a recording that wait for a row
_ENCODE_SECONDS = 30.0  # of audio in one step of the encoder, or of the aligner
_READ_POSITIONS = 512  # of prompts in one step of the decoder, padding included
_WAIT_SECONDS = 0.05  # for the decoding thread, when there is nothing else to do

_PLAIN = Backend("cpu")


@dataclass
class Task:
    """A job aboard."""

    transcription: Transcription
    reader: Reader
    before: list[int]  # the prompt's tokens around the audio
    after: list[int]
    probe: int  # whose next token tells whether anything is said: a position, from the prompt's end
    aligner: Aligner | None = None  # of a job that wants words
    waiting: deque[tuple[Part, Mel]] = field(default_factory=deque)
    rows: set[int] = field(default_factory=set)


def load(spec: EngineSpec, backend: Backend) -> Transcriber:
    """Raises ValueError for a folder that holds no Qwen3-ASR model, or a broken one."""
    folder = Path(spec.path)
    vocabulary = tokenizer.load(folder)
    model = weights.load(folder)
    loading.settle(model, backend)
    space = memory.measure(model, kept_bytes=0)
    fitting = space.running_bytes // (space.fixed_bytes + space.token_bytes * _ROW_TOKENS)
    rows = max(1, min(fitting, max(spec.slots, _ROWS_AT_LEAST)))
    grammar = Grammar(vocabulary, config.read(folder).eos_token_ids)
    return Transcriber(model, grammar, rows, backend=backend)


class Transcriber:
    def __init__(
        self,
        model: Model,
        grammar: Grammar,
        rows: int,
        limit: Limit = token_limit,
        backend: Backend = _PLAIN,
    ) -> None:
        """`rows`: clips answered side by side; `limit`: the tokens of an answer, by its clip's seconds."""
        self._model = model
        self._grammar = grammar
        self._size = rows
        self._limit = limit
        self._rows = Rows(model, watched=grammar.nothing)
        self._tasks: dict[int, Task] = {}
        self._parts: dict[int, tuple[Task, Part]] = {}  # those that have a row, by its number
        self._embedded: deque[Newcomer] = deque()  # those of them that the decoder has not read
        self._timing: deque[tuple[Task, Part]] = deque()  # those whose words wait for the aligner
        self._aligners = Shelf(backend)
        self._row = 0  # the last number given
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._blas_threads = threads.find()

    @property
    def idle(self) -> bool:
        return not self._tasks

    def admit(self, job_id: int, job: Job) -> None:
        if not isinstance(job, TranscriptionJob):
            raise JobRefused("this model transcribes speech; it does not chat", param="model")
        aligner = self._aligner(job)
        before, after = self._prompt(job)
        transcription = Transcription(job, self._grammar, self._limit)
        probe = self._grammar.probe(job.language)
        reader = Reader(self._thread, job.path, job.cutting)
        self._tasks[job_id] = Task(transcription, reader, before, after, probe, aligner)

    def _aligner(self, job: TranscriptionJob) -> Aligner | None:
        """Raises JobRefused. A language that is not given is looked at when it is heard."""
        folder = job.helpers.get("words")
        if folder is None:
            return None
        aligner = self._aligners.get(folder)
        if refusal := aligner.refusal(job.language):
            raise refusal
        return aligner

    def _prompt(self, job: TranscriptionJob) -> tuple[list[int], list[int]]:
        """The tokens around the audio. Of a context that is too long the end counts, as with Whisper."""
        context = job.context
        before, after = self._grammar.prompt(context, job.language)
        while len(before) + len(after) > MAX_PROMPT_TOKENS and context:
            context = context[len(context) // 4 + 1 :]
            before, after = self._grammar.prompt(context, job.language)
        return before, after

    def cancel(self, job_id: int) -> None:
        task = self._tasks.pop(job_id, None)
        if task is not None:
            task.reader.close()
            self._embedded = deque(n for n in self._embedded if n.row not in task.rows)
            self._timing = deque((t, part) for t, part in self._timing if t is not task)
            self._leave(set(task.rows))

    def step(self) -> list[tuple[int, Event]]:
        events = self._hear()
        if self._blas_threads and self._blas_threads.due:
            self._blas_threads.tune()
        if self._timing:
            self._align()
        elif self._embedded:
            self._take(self._rows.join(self._readable()))
        elif chosen := self._chosen():
            self._encode(chosen)
        elif len(self._rows):
            self._take(self._rows.step())
        elif not events:
            self._wait()
        return events + self._tell()

    def _hear(self) -> list[tuple[int, Event]]:
        """Takes the clips that are ready, and has more decoded; the events are refusals."""
        refusals: list[tuple[int, Event]] = []
        for job_id, task in list(self._tasks.items()):
            try:
                self._listen(task)
            except JobRefused as error:
                self.cancel(job_id)
                refusals.append((job_id, Refused(error.message, error.param, error.code)))
        return refusals

    @staticmethod
    def _listen(task: Task) -> None:
        heard = task.reader.hear()
        if heard:
            clip, mel = heard
            part = task.transcription.add(clip)
            if mel is not None:
                task.waiting.append((part, mel))
        if task.reader.ended:
            task.transcription.end()
        elif len(task.waiting) < _AHEAD:
            task.reader.ask()

    def _wait(self) -> None:
        coming = [task.reader.coming for task in self._tasks.values() if task.reader.coming]
        wait(coming, timeout=_WAIT_SECONDS, return_when=FIRST_COMPLETED)

    def _chosen(self) -> list[tuple[int, Mel]]:
        """Rows for waiting clips, at most 30 s of them; tasks with the fewest rows first."""
        chosen: list[tuple[int, Mel]] = []
        seconds = 0.0
        while len(self._parts) < self._size:
            tasks = [task for task in self._tasks.values() if task.waiting]
            if not tasks:
                break
            task = min(tasks, key=lambda task: len(task.rows))
            part, mel = task.waiting[0]
            seconds += len(part.clip.samples) / SAMPLE_RATE_HZ
            if chosen and seconds > _ENCODE_SECONDS:
                break
            task.waiting.popleft()
            self._row += 1
            task.rows.add(self._row)
            self._parts[self._row] = task, part
            chosen.append((self._row, mel))
        return chosen

    def _encode(self, chosen: list[tuple[int, Mel]]) -> None:
        heard = self._model.audio_tower([mel for _, mel in chosen])
        for (row, mel), audio in zip(chosen, heard, strict=True):
            task, part = self._parts[row]
            part.audio_tokens = len(audio)
            part.prompt_tokens = len(task.before) + len(task.after)
            part.mel = mel if task.aligner else None
            prompt = self._model.embed(task.before, audio, task.after)
            temperature = task.transcription.job.temperature
            seed = zlib.crc32(mel.data)  # the same sound has the same answer, at any temperature
            self._embedded.append(Newcomer(row, prompt, task.probe, temperature, seed))
        mx.eval([newcomer.embeddings for newcomer in self._embedded])

    def _readable(self) -> list[Newcomer]:
        """As many prompts as the decoder may read in one step."""
        chosen = [self._embedded.popleft()]
        longest = len(chosen[0].embeddings)
        while self._embedded:
            longest = max(longest, len(self._embedded[0].embeddings))
            if longest * (len(chosen) + 1) > _READ_POSITIONS:
                break
            chosen.append(self._embedded.popleft())
        return chosen

    def _take(self, draws: list[Draw]) -> None:
        finished = set()
        for draw in draws:
            task, part = self._parts[draw.row]
            part.draw(draw.token, draw.logprob, draw.watched)
            if part.finished:
                finished.add(draw.row)
                part.aligning = part.mel is not None and bool(part.text)
                if part.aligning:
                    self._timing.append((task, part))
        self._leave(finished)

    def _align(self) -> None:
        """Times the words of clips that wait for it, of all jobs with the first one's aligner."""
        aligner = self._timing[0][0].aligner
        assert aligner is not None
        parts: list[Part] = []
        seconds = 0.0
        while self._timing and self._timing[0][0].aligner is aligner:
            clip = self._timing[0][1].clip
            seconds += clip.end - clip.start
            if parts and seconds > _ENCODE_SECONDS:
                break
            parts.append(self._timing.popleft()[1])
        for part, found in zip(parts, aligner.align(list(map(_spoken, parts))), strict=True):
            part.words, part.mel, part.aligning = found, None, False
            part.refusal = aligner.refusal(part.answer.language)

    def _leave(self, rows: set[int]) -> None:
        for row in rows:
            task, _ = self._parts.pop(row)
            task.rows.remove(row)
        self._rows.leave(rows)

    def _tell(self) -> list[tuple[int, Event]]:
        events: list[tuple[int, Event]] = []
        for job_id, task in list(self._tasks.items()):
            try:
                events += [(job_id, event) for event in task.transcription.events()]
            except JobRefused as error:
                self.cancel(job_id)
                events.append((job_id, Refused(error.message, error.param, error.code)))
            if task.transcription.is_told:
                self._tasks.pop(job_id, None)
        return events


def _spoken(part: Part) -> Spoken:
    assert part.mel is not None
    return Spoken(part.mel, part.text, part.answer.language, part.clip.heard_from, part.clip.heard_until)
