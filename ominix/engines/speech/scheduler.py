"""The speech engine: which clips of which recordings are worked on next. In: jobs. Out: events.

A clip's way, for many jobs at once:

    file --Reader--> waiting --begin--> row --step, feed--> finished --stages--> closed
          (thread)   at most 2          as many as          its text            its segments
                     a job              memory holds        is whole            are sent

- Audio is decoded in children and cut on a thread of its own, and only when it is wanted: of a long recording
  few clips are held.
- A free row goes to the client that has the fewest, then to the one whose turn is longest ago (fairness), and
  of its jobs to the one that has the fewest, so that a short recording does not wait for a long one. All rows
  are decoded side by side, also those of one recording.
- One `step` is one bounded piece of work: a stage on half a minute of audio, or a step of the recogniser. A
  cancel waits no longer than that.
- Stages go first: a clip that only waits for its words' times is nearest to its client.
- A job ends when its recording is closed, when it is cancelled, or when it is refused because its file cannot
  be decoded or the first words cannot be timed. Its rows and its clips go with it.

Knows no model, no mlx, no pipe and no HTTP.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field

from ominix.cpu import threads
from ominix.engines.speech.reader import Reader, ReadingThread
from ominix.engines.speech.recording import Part, Recording
from ominix.engines.speech.stages.stage import OpenStage, Stage
from ominix.errors import InferenceFailed, JobRefused
from ominix.fairness import Served
from ominix.models.recogniser import Draw, Features, Prompt, Recogniser
from ominix.wire.events import Event, Failed, Refused
from ominix.wire.jobs import Helper, Job, TranscriptionJob

_AHEAD = 2  # clips of a recording that wait for a row
_STAGE_SECONDS = 30.0  # of audio in one piece of a stage's work
_WAIT_SECONDS = 0.05  # for the decoding thread, when there is nothing else to do


@dataclass
class Task:
    """A job aboard."""

    recording: Recording
    reader: Reader
    prompt: Prompt
    stages: list[Stage]
    client: str
    waiting: deque[tuple[Part, Features]] = field(default_factory=deque)
    rows: set[int] = field(default_factory=set)

    @property
    def wants_clip(self) -> bool:
        """In a sequence only the answer to one says where the next begins."""
        if self.recording.job.sequential:
            return not self.waiting and not self.rows
        return len(self.waiting) < _AHEAD


class Scheduler:
    def __init__(
        self,
        recogniser: Recogniser,
        rows: int,
        stages: Mapping[str, OpenStage],
        reading: ReadingThread | None = None,
    ) -> None:
        """`rows`: clips answered side by side; `stages`: by the name that a job's helpers give them."""
        self._recogniser = recogniser
        self._size = rows
        self._stages = stages
        self._tasks: dict[int, Task] = {}
        self._rows: dict[int, tuple[Task, Part]] = {}  # by their numbers
        self._staged: deque[tuple[Task, Part, Stage]] = deque()
        self._reading = reading or ReadingThread()
        self._blas_threads = threads.find()
        self._served = Served()

    @property
    def idle(self) -> bool:
        return not self._tasks

    def admit(self, job_id: int, job: Job) -> None:
        if not isinstance(job, TranscriptionJob):
            raise JobRefused("this model transcribes speech; it does not chat", param="model")
        stages = [self._open(name, helper) for name, helper in job.helpers.items()]
        for stage in stages:
            stage.check(job)
        if job.sequential:
            self._check_sequence(job)
        prompt = self._recogniser.prompt(job)
        recording = Recording(job, self._recogniser)
        # Last: from here on the recording's descriptor is the reader's to close.
        reader = Reader(self._reading, job, self._recogniser)
        self._tasks[job_id] = Task(recording, reader, prompt, stages, job.caller.client)

    def _check_sequence(self, job: TranscriptionJob) -> None:
        if job.channel == "separate":
            raise JobRefused(
                "chunking_strategy 'sequential' hears one track: name a channel (left, right, a number), or "
                "leave chunking_strategy out to have each transcribed separately",
                param="channel",
            )
        if self._recogniser.survey() is None:
            raise JobRefused(
                "this model does not say where in the sound it is, so it cannot go through a recording "
                "window by window: leave chunking_strategy out, or name another model",
                param="chunking_strategy",
            )

    def _open(self, name: str, helper: Helper) -> Stage:
        if name not in self._stages:
            raise JobRefused(f"this engine has no stage that is called {name!r}")
        return self._stages[name](helper)

    def cancel(self, job_id: int) -> None:
        task = self._tasks.pop(job_id, None)
        if task is not None:
            task.reader.close()
            self._staged = deque(entry for entry in self._staged if entry[0] is not task)
            self._drop(list(task.rows))

    def step(self) -> list[tuple[int, Event]]:
        events = self._receive_clips()
        if self._blas_threads and self._blas_threads.due:
            self._blas_threads.tune()
        if self._staged:
            self._run_stage()
        else:
            self._begin_rows()
            if self._rows:
                self._feed(self._recogniser.step())
            elif not events:
                self._wait()
        return events + self._next_events()

    def progress(self) -> Mapping[int, int]:
        """Of those that wait for their file to be decoded: rows and stages get on with every step."""
        waiting = {i: task for i, task in self._tasks.items() if task.reader.waits and not task.rows}
        return {job_id: task.reader.work for job_id, task in waiting.items() if not task.waiting}

    def _receive_clips(self) -> list[tuple[int, Event]]:
        """Add the clips that are decoded by now, and request more; the events are refusals and failures."""
        refusals: list[tuple[int, Event]] = []
        for job_id, task in list(self._tasks.items()):
            try:
                self._receive(task)
            except JobRefused as error:
                self.cancel(job_id)
                refusals.append((job_id, _refused(error)))
            except InferenceFailed as error:
                self.cancel(job_id)
                refusals.append((job_id, Failed(error.message)))
        return refusals

    def _receive(self, task: Task) -> None:
        found = task.reader.poll()
        task.recording.started = task.reader.started
        task.recording.total_seconds = task.reader.total_seconds
        if found:
            clip, features = found
            part = task.recording.add(clip)
            if features is not None:
                task.waiting.append((part, features))
                if any("features" in stage.needs for stage in task.stages):
                    part.features = features
                self._stage(task, part, has_text=False)
        if task.reader.ended:
            task.recording.end(task.reader.notice)
        elif task.wants_clip:
            task.reader.request(task.recording.heard_seconds)

    def _wait(self) -> None:
        pending = [task.reader.pending for task in self._tasks.values() if task.reader.pending]
        wait(pending, timeout=_WAIT_SECONDS, return_when=FIRST_COMPLETED)

    def _begin_rows(self) -> None:
        """Give free rows to waiting clips, in turns."""
        places = Counter(task.client for task, _ in self._rows.values())
        taken = sum(task.prompt.rows for task, _ in self._rows.values())
        self._served.keep({task.client for task in self._tasks.values()})
        while taken < self._size:
            tasks = [task for task in self._tasks.values() if task.waiting]
            if not tasks:
                return
            task = min(tasks, key=lambda t: (places[t.client], self._served.last(t.client), len(t.rows)))
            if taken and taken + task.prompt.rows > self._size:
                return  # it waits for its memory, and nobody overtakes it
            taken += task.prompt.rows
            places[task.client] += 1
            self._served.add(task.client)
            part, features = task.waiting.popleft()
            row = self._recogniser.begin(features, task.prompt)
            part.prompt_tokens, part.audio_tokens = row.prompt_tokens, row.audio_tokens
            task.rows.add(row.number)
            self._rows[row.number] = task, part

    def _feed(self, draws: Iterable[Draw]) -> None:
        finished: list[int] = []
        for draw in draws:
            task, part = self._rows[draw.row]
            if part.finished:
                continue  # several draws of a row came at once, and an earlier one was the last that counts
            part.feed(draw)
            if part.finished:
                finished.append(draw.row)
                if part.text:
                    self._stage(task, part, has_text=True)
        self._drop(finished)

    def _stage(self, task: Task, part: Part, *, has_text: bool) -> None:
        """Queue the part for the stages that waited for its clip, or for its text."""
        for stage in task.stages:
            if ("text" in stage.needs) is has_text:
                part.open_stages += 1
                self._staged.append((task, part, stage))

    def _run_stage(self) -> None:
        """Work of the first stage in the queue, on the parts of all jobs that wait for it next."""
        stage = self._staged[0][2]
        parts: list[Part] = []
        seconds = 0.0
        while self._staged and self._staged[0][2] is stage:
            clip = self._staged[0][1].clip
            seconds += clip.end - clip.start
            if parts and seconds > _STAGE_SECONDS:
                break
            parts.append(self._staged.popleft()[1])
        stage.run(parts)
        for part in parts:
            part.open_stages -= 1
            if part.finished and not part.open_stages:
                part.features = None

    def _drop(self, rows: list[int]) -> None:
        for row in rows:
            task, _ = self._rows.pop(row)
            task.rows.remove(row)
        if rows:
            self._recogniser.drop(rows)

    def _next_events(self) -> list[tuple[int, Event]]:
        events: list[tuple[int, Event]] = []
        for job_id, task in list(self._tasks.items()):
            try:
                events += [(job_id, event) for event in task.recording.next_events()]
            except JobRefused as error:
                self.cancel(job_id)
                events.append((job_id, _refused(error)))
            if task.recording.is_closed:
                self._tasks.pop(job_id, None)
        return events


def _refused(error: JobRefused) -> Refused:
    return Refused(error.message, error.param, error.code)
