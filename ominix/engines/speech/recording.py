"""One recording on its way to text: its clips, each with an answer that grows, told in order.

Clips may be answered in any order; events follow the recording. Knows nothing of mlx, threads and files.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence

from ominix.engines.speech import joining, segmenting
from ominix.engines.speech.clips import Clip
from ominix.engines.speech.repetition import RepetitionFilter
from ominix.engines.speech.stages.words import TimedWord
from ominix.errors import JobRefused
from ominix.models.qwen3_asr.features import Mel
from ominix.models.qwen3_asr.prompt import Grammar
from ominix.wire.events import Delta, Event, Progress, Segment, Started, TokenLogprob, TranscriptionDone, Word
from ominix.wire.jobs import TranscriptionJob

_NO_SPEECH = 0.5  # more likely than not, the model itself would say "language None"


Limit = Callable[[float], int]


def token_limit(seconds: float) -> int:
    """Tokens that a clip may take: nobody speaks faster, even where every letter is a token."""
    return 32 + int(24 * seconds)


class Part:
    """A clip and what the model says to it."""

    def __init__(self, clip: Clip, grammar: Grammar, job: TranscriptionJob, limit: int) -> None:
        """`limit`: the tokens that its answer may take."""
        self.clip = clip
        self.finished = clip.sound is None
        self.text = ""
        self.answer = grammar.answer(job.language)
        self.no_speech_prob = 0.0
        self.drawn = 0
        self.prompt_tokens = 0
        self.audio_tokens = 0
        self.mel: Mel | None = None  # kept for the aligner
        self.aligning = False  # its words are on their way
        self.words: list[TimedWord] = []
        self.refusal: JobRefused | None = None  # why its words' times are not what they should be
        self._grammar = grammar
        self._limit = limit
        self._loops = RepetitionFilter()
        self._logprobs: list[float] = []  # of the answer's text tokens, and of its end
        self._ends: list[int] = []  # of the text tokens: where in the text each ends
        self._told = 0  # characters of the text
        self._told_tokens = 0

    def draw(self, token: int, logprob: float, watched: float) -> None:
        """Takes the next token. `watched`: the log-probability that "None" follows upon "language"."""
        forced, opening = self.answer.forced, self._grammar.opening
        if self.drawn == 0 if forced else self.answer.tokens == opening and self.drawn == len(opening):
            self.no_speech_prob = math.exp(watched)
        self.drawn += 1
        self._logprobs.append(logprob)
        if forced and self.drawn == 1 and self.no_speech_prob > _NO_SPEECH:
            self.finished = True
        elif token in self._grammar.ends:
            self._finish()
        else:
            self._extend(token)

    def _extend(self, token: int) -> None:
        self.text += self._loops.feed(self.answer.feed(token))
        if not self.answer.tokens:  # that was the header
            self._logprobs.clear()
            self._ends.clear()
        self._ends += [len(self.text)] * (len(self.answer.tokens) - len(self._ends))
        if self._loops.found or self.answer.silent or self.drawn >= self._limit:
            self._finish()

    def _finish(self) -> None:
        for character in self.answer.end():  # one by one: an answer that has no <asr_text> comes all at once
            self.text += self._loops.feed(character)
        self.text += self._loops.end()
        self.finished = True

    def tokens_of(self, first: int, last: int) -> range:
        """Which tokens text[first:last] has; the last piece of the text has the answer's end, too."""
        begin = bisect.bisect_right(self._ends, first) if first else 0
        whole = last >= len(self.text)
        return range(begin, len(self._logprobs) if whole else bisect.bisect_right(self._ends, last))

    def avg_logprob(self, tokens: range) -> float:
        chosen = self._logprobs[tokens.start : tokens.stop]
        return sum(chosen) / len(chosen) if chosen else 0.0

    @property
    def is_told(self) -> bool:
        """Some of it."""
        return self._told > 0

    def untold(self) -> str:
        """The text that came since this was last asked."""
        new, self._told = self.text[self._told :], len(self.text)
        return new

    def untold_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Those of the text's tokens that came since this was last asked."""
        tokens = self.answer.tokens
        span = range(self._told_tokens, len(tokens))
        self._told_tokens = len(tokens)
        return tuple(self._logprob(tokens[i], self._logprobs[i]) for i in span)

    def _logprob(self, token: int, logprob: float) -> TokenLogprob:
        data = self._grammar.bytes_of(token)
        return TokenLogprob(data.decode(errors="replace"), logprob, tuple(data))


class Transcription:
    """Turns parts into events."""

    def __init__(self, job: TranscriptionJob, grammar: Grammar, limit: Limit) -> None:
        self.job = job
        self._limit = limit
        self._grammar = grammar
        self._parts: deque[Part] = deque()
        self._started = False
        self._seconds = 0.0  # heard so far
        self._whole = False  # there is no more to hear
        self._text = ""
        self._segments = 0
        self._spoken: dict[str, float] = {}  # seconds by language
        self._tokens: Counter[str] = Counter()

    def add(self, clip: Clip) -> Part:
        part = Part(clip, self._grammar, self.job, self._limit(clip.end - clip.start))
        self._parts.append(part)
        self._seconds = clip.end
        return part

    def end(self) -> None:
        """No clip follows."""
        self._whole = True

    @property
    def is_told(self) -> bool:
        """All of it."""
        return self._whole and not self._parts

    def events(self) -> list[Event]:
        """What can be told by now; ends with TranscriptionDone.

        Raises JobRefused if the first words cannot be timed; later ones in another language are, somehow.
        """
        events: list[Event] = []
        if not self._started and (self._parts or self._whole):
            self._started = True
            events.append(Started())
        while self._parts:
            part = self._parts[0]
            events += self._delta(part)
            if not part.finished or part.aligning:
                return events
            events += self._closed(self._parts.popleft())
        if self._whole:
            events.append(self._done())
        return events

    def _delta(self, part: Part) -> list[Event]:
        begins, new = not part.is_told, part.untold()
        if not new:
            return []
        if begins:
            new = joining.between(self._text, new) + new
        self._text += new
        return [Delta(new, logprobs=part.untold_logprobs() if self.job.logprobs else ())]

    def _closed(self, part: Part) -> list[Event]:
        progress = Progress(part.clip.end, self._seconds if self._whole else None)
        tokens = {"drawn": part.drawn, "audio": part.audio_tokens, "prompt": part.prompt_tokens}
        self._tokens.update(tokens)
        if not part.text or part.clip.sound is None:
            return [progress]
        if language := part.answer.language:
            self._spoken[language] = self._spoken.get(language, 0.0) + part.clip.end - part.clip.start
        if part.refusal and not self._segments:
            raise part.refusal
        return [*self._told_segments(part, part.clip.sound), progress]

    def _told_segments(self, part: Part, sound: tuple[float, float]) -> list[Event]:
        """One a sentence where the words' times are known, else one with all the text."""
        pieces = segmenting.pieces(part.text, part.words)
        if not pieces:
            return [self._segment(part, 0, len(part.text), *sound)]
        return [self._segment(part, p.first, p.last, p.start, p.end, p.words) for p in pieces]

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
        segment = Segment(
            self._segments,
            start,
            end,
            part.text[first:last].strip(),
            tuple(part.answer.tokens[tokens.start : tokens.stop]),
            self.job.temperature,
            part.avg_logprob(tokens),
            part.no_speech_prob,
            tuple(Word(word.text, word.start, word.end) for word in words),
        )
        self._segments += 1
        return segment

    def _done(self) -> TranscriptionDone:
        language = max(self._spoken, key=lambda name: self._spoken[name]) if self._spoken else None
        return TranscriptionDone(
            self._text,
            language,
            self._seconds,
            self._tokens["prompt"],
            self._tokens["audio"],
            self._tokens["drawn"],
        )
