"""Segments as subtitles: srt, vtt and tsv. Long segments become several cues that share its time."""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

from ominix.text import lines
from ominix.text.lines import MIN_SECONDS, Clock
from ominix.text.scripts import columns
from ominix.wire.events import Segment
from ominix.wire.jobs import SubtitleForm


@dataclass(frozen=True)
class Cue:
    """Times in milliseconds, `end` after `start`."""

    start: int
    end: int
    lines: tuple[str, ...]
    speaker: str = ""


class Subtitles:
    """Subtitles that grow with the recording: laid out at once, those of six hours take ten seconds."""

    def __init__(self, form: SubtitleForm) -> None:
        self._form = form
        self._cues: list[Cue] = []

    def add(self, segment: Segment) -> None:
        self._cues += _divided(segment)

    def text(self, duration_seconds: float = math.inf) -> str:
        """The whole file. `duration_seconds`: of the recording."""
        return _FORMS[self._form](_spaced(self._cues, duration_seconds))


def as_srt(segments: Sequence[Segment], duration_seconds: float = math.inf) -> str:
    return _srt(cues(segments, duration_seconds))


def as_vtt(segments: Sequence[Segment], duration_seconds: float = math.inf) -> str:
    return _vtt(cues(segments, duration_seconds))


def as_tsv(segments: Sequence[Segment]) -> str:
    """Start, end in milliseconds and text, as the whisper command writes them: undivided segments."""
    rows = [f"{_ms(s.start)}\t{_ms(s.end)}\t{_said(s)}\n" for s in segments]
    return "".join(["start\tend\ttext\n", *rows])


def _said(segment: Segment) -> str:
    return (f"{segment.speaker}: " if segment.speaker else "") + _plain(segment.text)


def cues(segments: Sequence[Segment], duration_seconds: float = math.inf) -> list[Cue]:
    """In order, without overlap."""
    return _spaced([cue for segment in segments for cue in _divided(segment)], duration_seconds)


def _srt(cues: Sequence[Cue]) -> str:
    """SubRip. It knows no escapes: an arrow, which would end a cue, is shortened."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "".join(f"{line.replace('-->', '->')}\n" for line in _marked(cue))
        for number, cue in enumerate(cues, start=1)
    ]
    return "\n".join(blocks)


def _vtt(cues: Sequence[Cue]) -> str:
    """WebVTT, with &, < and > as its section 4.2.2 wants them."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + (f"<v {_escaped(cue.speaker)}>" if cue.speaker else "")
        + "".join(f"{_escaped(line)}\n" for line in cue.lines)
        for cue in cues
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _marked(cue: Cue) -> tuple[str, ...]:
    """SubRip has no mark for speakers."""
    return (f"{cue.speaker}: {cue.lines[0]}", *cue.lines[1:]) if cue.speaker else cue.lines


_FORMS: dict[SubtitleForm, Callable[[Sequence[Cue]], str]] = {"srt": _srt, "vtt": _vtt}


def _spaced(rough: Sequence[Cue], duration_seconds: float) -> list[Cue]:
    """In order. Cues of one speaker do not overlap; two speakers may speak at the same time."""
    each: dict[str, list[Cue]] = {}
    for cue in rough:
        each.setdefault(cue.speaker, []).append(cue)
    apart = [_apart(cues, duration_seconds) for cues in each.values()]
    return list(heapq.merge(*apart, key=lambda cue: cue.start))


def _apart(rough: Sequence[Cue], duration_seconds: float) -> list[Cue]:
    """Without overlap. What would be gone too fast stays for a second, if there is room."""
    end_of_all = _ms(min(duration_seconds, 1e9))
    found: list[Cue] = []
    for i, cue in enumerate(rough):
        following = rough[i + 1].start if i + 1 < len(rough) else end_of_all
        start = max(cue.start, found[-1].end if found else 0)
        end = max(cue.end, min(start + _ms(MIN_SECONDS), following), start + 1)
        found.append(Cue(start, end, cue.lines, cue.speaker))
    return found


def _divided(segment: Segment) -> Iterator[Cue]:
    text = _plain(segment.text)
    clock = _spoken(segment, text)
    for first, last in lines.divided(text, clock):
        part = text[first:last].strip()
        if part:
            end = first + len(text[first:last].rstrip())
            yield Cue(_ms(clock(first)), _ms(clock(end)), lines.lines(part), segment.speaker)


def _spoken(segment: Segment, text: str) -> Clock:
    """When a character of the text is spoken: between the borders of words, else of the segment, evenly."""
    widths = [0]
    for character in text:
        widths.append(widths[-1] + max(columns(character), character != " "))
    places, times = [0], [segment.start]
    for place, second in [*_anchors(segment, text), (len(text), segment.end)]:
        if place > places[-1] and second >= times[-1]:
            places.append(place)
            times.append(second)

    def clock(place: int) -> float:
        i = min(bisect.bisect_right(places, place), len(places) - 1)
        before, after = widths[places[i - 1]], widths[places[i]]
        share = (widths[place] - before) / max(1, after - before)
        return times[i - 1] + share * (times[i] - times[i - 1])

    return clock


def _anchors(segment: Segment, text: str) -> Iterator[tuple[int, float]]:
    """Where words begin, and end with the marks behind them, and when."""
    places, place = [], 0
    for word in segment.words:
        found = text.find(word.text, place)
        if found >= 0 and word.text:
            place = found + len(word.text)
            places.append((found, place, word))
    begins = [*(begin for begin, _, _ in places), len(text)][1:]
    for (begin, end, word), following in zip(places, begins, strict=True):
        space = text.find(" ", end, following)
        yield begin, word.start
        yield following if space < 0 else space, word.end


def _plain(text: str) -> str:
    """One line, without control characters."""
    return " ".join("".join(c if c.isprintable() or category(c) == "Cf" else " " for c in text).split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, point: str) -> str:
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
