"""One recording on its way to text. In: clips, and draws for each. Out: events, in the recording's order.

The life of a part, which is a clip and its answer:

    added ----> answering ----> finished ----> closed
        \\_________ silent _________/  (stages)

added      waits for a row; a clip in which nobody speaks is finished at once, with an empty text
answering  each draw makes its text longer; an answer that repeats itself or is too long is cut off
finished   no draw follows; stages (word times) may have work to do on the whole text
closed     its segments and the progress have been sent; it is forgotten

Many parts are answered at once and finish in any order, but a text must grow from its start. Therefore events
come from the first part that is not closed: its new text as deltas while it is answering, its segments when
it is finished and all stages are done with it. What other parts say meanwhile waits in them.

Knows nothing of mlx, threads, files and of what a token means.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from msgspec import structs

from ominix.engines.speech.clips import Clip
from ominix.engines.speech.repetition import RepetitionFilter
from ominix.engines.speech.spoken import Spoken
from ominix.engines.speech.turns import Turns
from ominix.errors import JobRefused
from ominix.models.recogniser import Answer, Draw, Features, Recogniser, Span
from ominix.text import joining
from ominix.text.sentences import TimedWord, sentences
from ominix.text.subtitles import Subtitles
from ominix.wire.events import Delta, Event, Progress, Segment, Started, TokenLogprob, TranscriptionDone, Word
from ominix.wire.jobs import TranscriptionJob


class Part:
    """A clip and what the model says to it."""

    def __init__(self, clip: Clip, answer: Answer, limit: int, *, may_loop: bool = False) -> None:
        """`limit`: the draws that its answer may take; `may_loop`: that is the model's affair."""
        self.clip = clip
        self.answer = answer
        self.finished = clip.sound is None
        self.text = ""
        self.drawn = 0
        self.prompt_tokens = 0
        self.audio_tokens = 0
        self.features: Features | None = None  # kept for stages that need them
        self.open_stages = 0  # those that are not done with it
        self.words: list[TimedWord] = []
        self.refusal: JobRefused | None = None  # why a stage could not do what it should
        self._limit = limit
        self._loops = None if may_loop else RepetitionFilter()
        self._ends: list[int] = []  # of the answer's tokens: where in the text each ends
        self._sent = 0  # characters of the text
        self._sent_tokens = 0

    def feed(self, draw: Draw) -> None:
        self.drawn += 1
        self._add(self.answer.feed(draw))
        self._note_ends()
        if self.answer.finished or self._is_loop or self.drawn >= self._limit:
            self._finish()

    @property
    def _is_loop(self) -> bool:
        return self._loops is not None and self._loops.found

    def _add(self, text: str) -> None:
        self.text += self._loops.feed(text) if self._loops else text

    def _finish(self) -> None:
        rest = self.answer.end()
        self._note_ends()
        for character in rest:  # one by one: it may be the whole text, and repeat itself
            self._add(character)
        if self._loops:
            self.text += self._loops.end()
        self.finished = True

    @property
    def end(self) -> float:
        """Seconds of the recording: up to where it was heard."""
        verdict = self.answer.verdict
        if verdict is None or verdict.heard_seconds is None:
            return self.clip.end
        return min(self.clip.end, self.clip.start + verdict.heard_seconds)

    def spans(self) -> Iterator[tuple[Span, int, int]]:
        """Segments as the model cuts them, and where in the text each begins and ends."""
        tokens = 0
        for span in self.answer.verdict.spans if self.answer.verdict else ():
            first = self._ends[tokens - 1] if tokens else 0
            tokens += span.text_tokens
            yield span, first, self._ends[tokens - 1]

    def _note_ends(self) -> None:
        self._ends += [len(self.text)] * (len(self.answer.tokens) - len(self._ends))

    def tokens_of(self, first: int, last: int) -> range:
        """Which tokens text[first:last] has; those of the text's end include the answer's end."""
        begin = bisect.bisect_right(self._ends, first) if first else 0
        whole = last >= len(self.text)
        return range(begin, len(self.answer.logprobs) if whole else bisect.bisect_right(self._ends, last))

    def avg_logprob(self, tokens: range) -> float:
        chosen = self.answer.logprobs[tokens.start : tokens.stop]
        return sum(chosen) / len(chosen) if chosen else 0.0

    def probability(self, first: int, last: int) -> float | None:
        """The mean of the tokens that text[first:last] is in."""
        begin, end = bisect.bisect_right(self._ends, first), bisect.bisect_left(self._ends, last) + 1
        chosen = self.answer.logprobs[begin : min(end, len(self._ends))]
        return sum(map(math.exp, chosen)) / len(chosen) if chosen else None

    @property
    def has_begun(self) -> bool:
        """Some of its text has been sent."""
        return self._sent > 0

    def next_text(self) -> str:
        """The text that came since this was last called."""
        new, self._sent = self.text[self._sent :], len(self.text)
        return new

    def next_tokens(self) -> range:
        """The text's tokens that came since this was last called."""
        new = range(self._sent_tokens, len(self.answer.tokens))
        self._sent_tokens = new.stop
        return new


class Recording:
    def __init__(self, job: TranscriptionJob, recogniser: Recogniser) -> None:
        self.job = job
        self._recogniser = recogniser
        self._parts: deque[Part] = deque()
        self.started = Started()  # the first event
        self._has_started = False
        self.total_seconds: float | None = None  # if it is known before the end
        self._seconds = 0.0  # added so far
        self._last: Part | None = None  # that was added
        self._whole = False  # no clip follows
        self._notice: str | None = None
        self._text = ""
        self._segments = 0
        self._turns = Turns() if job.channel == "separate" else None
        self._next_start = 0.0  # no clip that is added later begins earlier
        self._done_seconds = 0.0
        self._subtitles = Subtitles(job.subtitles) if job.subtitles else None
        self._spoken = Spoken()
        self._tokens: Counter[str] = Counter()

    def add(self, clip: Clip) -> Part:
        limit = self._recogniser.token_limit(clip.end - clip.start)
        part = Part(clip, self._recogniser.answer(self.job), limit, may_loop=self.job.sequential)
        self._parts.append(part)
        self._last = part
        self._seconds = max(self._seconds, clip.end)  # of several channels each has its own end
        self._next_start = clip.start
        return part

    def end(self, notice: str | None = None) -> None:
        """No clip follows. `notice`: that there is more in the file, and why it was not heard."""
        self._notice = notice
        self._whole = True

    @property
    def heard_seconds(self) -> float:
        """Where the next clip of a sequence begins, once the one before is finished."""
        return self._last.end if self._last else 0.0

    @property
    def is_closed(self) -> bool:
        """All events have been sent."""
        return self._whole and not self._parts

    def next_events(self) -> list[Event]:
        """What can be sent by now; the last is TranscriptionDone.

        Raises JobRefused if the first words cannot be timed; later ones in another language are, somehow.
        """
        events: list[Event] = []
        if not self._has_started and (self._parts or self._whole):
            self._has_started = True
            events.append(self.started)
        while self._parts:
            part = self._parts[0]
            events += self._delta(part)
            if not part.finished or part.open_stages:
                break
            events += self._close(self._parts.popleft())
        if self._turns:
            events += self._turned(self._turns)
        if self.is_closed:
            events.append(self._done())
        return events

    def _turned(self, turns: Turns) -> Iterator[Event]:
        """Segments of several channels before which nothing can come any more."""
        following = math.inf if self._whole else self._next_start
        for delta, segment in turns.until(self._parts[0].clip.start if self._parts else following):
            yield delta
            if self._subtitles is None:
                yield segment
            else:
                self._subtitles.add(segment)

    def _delta(self, part: Part) -> list[Event]:
        if self._turns:
            return []
        begins, new = not part.has_begun, part.next_text()
        if not new:
            return []
        if begins:
            new = joining.between(self._text, new) + new
        self._text += new
        return [Delta(new, logprobs=self._logprobs(part) if self.job.logprobs else ())]

    def _logprobs(self, part: Part) -> tuple[TokenLogprob, ...]:
        answer = part.answer
        found = []
        for i in part.next_tokens():
            data = self._recogniser.bytes_of(answer.tokens[i])
            found.append(TokenLogprob(data.decode(errors="replace"), answer.logprobs[i], tuple(data)))
        return tuple(found)

    def _close(self, part: Part) -> list[Event]:
        self._done_seconds = max(self._done_seconds, part.end)
        progress = Progress(self._done_seconds, self._seconds if self._whole else self.total_seconds)
        tokens = {"drawn": part.drawn, "audio": part.audio_tokens, "prompt": part.prompt_tokens}
        self._tokens.update(tokens)
        if not part.text or part.clip.sound is None:
            return [progress]
        if language := part.answer.language:
            self._spoken.add(language, part.end - part.clip.start, part.answer.language_prob)
        if part.refusal and not self._segments:
            raise part.refusal
        segments = self._segments_of(part, part.clip.sound)
        if self._turns:
            logprobs = self._logprobs(part) if self.job.logprobs else ()
            for segment in segments:
                self._turns.add(segment, logprobs)
                logprobs = ()  # all of the part's stand with its first segment
            return [progress]
        if self._subtitles is None:
            return [*segments, progress]
        for segment in segments:
            self._subtitles.add(segment)
        return [progress]

    def _segments_of(self, part: Part, sound: tuple[float, float]) -> list[Segment]:
        """The model's; else one a sentence where the words' times are known, or one with all the text."""
        if spans := list(part.spans()):
            return [self._spanned(part, *span) for span in spans]
        found = sentences(part.text, part.words)
        if not found:
            return [self._segment(part, 0, len(part.text), *sound)]
        return [self._segment(part, s.first, s.last, s.start, s.end, s.words) for s in found]

    def _segment(
        self,
        part: Part,
        first: int,
        last: int,
        start: float,
        end: float,
        words: Sequence[TimedWord] = (),
    ) -> Segment:
        tokens = part.tokens_of(first, last)
        verdict = part.answer.verdict
        channel, speaker = part.clip.channel or (None, "")
        segment = Segment(
            self._segments,
            start,
            end,
            part.text[first:last].strip(),
            tuple(part.answer.tokens[tokens.start : tokens.stop]),
            verdict.temperature if verdict else self.job.temperature,
            verdict.avg_logprob if verdict else part.avg_logprob(tokens),
            part.answer.no_speech_prob,
            tuple(Word(w.text, w.start, w.end, part.probability(w.first, w.last)) for w in words),
            part.answer.language,
            channel=channel,
            speaker=speaker,
            seek_seconds=part.clip.samples_start if verdict else None,
            compression_ratio=verdict.compression_ratio if verdict else None,
            language_prob=part.answer.language_prob,
        )
        self._segments += 1
        return segment

    def _spanned(self, part: Part, span: Span, first: int, last: int) -> Segment:
        """As the model cuts it, from word to word where they are timed, and not past the recording's end."""
        begin, end = (round(min(part.clip.start + s, part.clip.end), 3) for s in (span.start, span.end))
        words = [word for word in part.words if first <= word.first < last]
        if words:
            begin, end = words[0].start, words[-1].end
        return structs.replace(self._segment(part, first, last, begin, end, words), tokens=span.tokens)

    def _done(self) -> TranscriptionDone:
        return TranscriptionDone(
            self._turns.text if self._turns else self._text,
            self._spoken.language,
            self._seconds,
            self._tokens["prompt"],
            self._tokens["audio"],
            self._tokens["drawn"],
            self._subtitles.text(self._seconds) if self._subtitles else None,
            self._notice,
            self._spoken.probability,
        )
