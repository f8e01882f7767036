"""Subtitles, read back by libraries that are not ours."""

from __future__ import annotations

import html
import io
import itertools
import json
import time
from pathlib import Path

import pytest
import srt
import webvtt

from ominix.text import lines, subtitles
from ominix.text.scripts import columns
from ominix.wire.events import Segment, Word

LONG = json.loads((Path(__file__).parents[1] / "data" / "scripts.json").read_text("utf-8"))
SPACED = ["English", "German", "Russian", "Korean", "Arabic", "Hindi", "Hebrew", "Greek"]


def segment(text: str, start: float = 0.0, end: float = 20.0, words=()) -> Segment:
    return Segment(0, start, end, text, words=tuple(words))


def width(line: str) -> int:
    return sum(map(columns, line))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("language", LONG)
def test_every_script_is_divided_and_comes_back(language):
    text = LONG[language]
    cues = subtitles.cues([segment(text, 3.0, 23.0)])
    shown = [line for cue in cues for line in cue.lines]
    assert squeezed("".join(shown)) == squeezed(text)
    assert max(map(width, shown)) <= lines.LINE_COLUMNS
    assert max(len(cue.lines) for cue in cues) <= 2
    assert all(1000 <= cue.end - cue.start <= 7500 for cue in cues)
    assert (cues[0].start, cues[-1].end) == (3000, 23000)
    assert all(a.end <= b.start for a, b in itertools.pairwise(cues))
    assert all(line == line.strip() and columns(line[0]) for line in shown)


@pytest.mark.parametrize(("form", "at_once"), [("srt", subtitles.as_srt), ("vtt", subtitles.as_vtt)])
def test_subtitles_that_grow_are_those_that_are_laid_out_at_once(form, at_once):
    segments = [segment(text, 20.0 * i, 20.0 * i + 20) for i, text in enumerate(LONG.values())]
    growing = subtitles.Subtitles(form)
    for each in segments:
        growing.add(each)
    assert growing.text(20.0 * len(segments)) == at_once(segments, 20.0 * len(segments))


@pytest.mark.contract("audio.answer.subtitles")
@pytest.mark.parametrize("language", SPACED)
def test_words_are_never_cut(language):
    cues = subtitles.cues([segment(LONG[language])])
    assert " ".join(line for cue in cues for line in cue.lines) == LONG[language]


def test_cues_end_with_sentences_where_they_can():
    cues = subtitles.cues(
        [segment("This is the first sentence of all. And here the second one begins and ends.", 0, 10)]
    )
    assert [" ".join(cue.lines) for cue in cues] == [
        "This is the first sentence of all.",
        "And here the second one begins and ends.",
    ]


def test_no_line_begins_with_a_mark_or_a_small_kana():
    text = "「ちょっと、待って」と言った。" * 8
    for cue in subtitles.cues([segment(text, 0, 30)]):
        for line in cue.lines:
            assert line[0] not in "、。」っょ"
            assert line[-1] != "「"


@pytest.mark.parametrize(
    ("language", "never_first", "never_last"),
    [
        ("Thai", "\u0e30\u0e31\u0e32\u0e34\u0e35\u0e38\u0e39\u0e48\u0e49", "\u0e40\u0e41\u0e42\u0e43\u0e44"),
        ("Japanese", "\u3063\u3083\u3087\u30fc\u3001\u3002", ""),
        ("Chinese", "\uff0c\u3002", ""),
    ],
)  # fmt: skip
def test_characters_that_belong_together_stay_together(language, never_first, never_last):
    text = "".join(LONG[language].split()) + "ちょっとボートっていった。" * (language == "Japanese")
    for start in range(len(text)):
        first, *others = lines.lines(text[start:])
        assert all(line[0] not in never_first for line in others)
        assert all(line[-1] not in never_last for line in [first, *others][:-1])


def test_a_word_longer_than_a_line_is_cut_after_all():
    (cue,) = subtitles.cues([segment("https://" + "x" * 60, 0, 5)])
    assert max(map(len, cue.lines)) <= 42
    assert "".join(cue.lines) == "https://" + "x" * 60


def test_time_is_shared_by_what_there_is_to_read():
    cues = subtitles.cues(
        [segment("One two three four. " * 2 + "Five six seven eight nine ten. " * 4, 10, 26)]
    )
    for cue in cues:
        share = sum(map(width, cue.lines)) / (cue.end - cue.start)
        assert share == pytest.approx(sum(width(x) for c in cues for x in c.lines) / 16000, rel=0.15)


def test_words_times_are_better_than_shares():
    said = ["One", "two", "three.", *(f"word{i}" for i in range(20))]
    times = [0.0, 0.4, 0.8, *(10 + 0.5 * i for i in range(20))]
    words = [Word(text.strip("."), start, start + 0.3) for text, start in zip(said, times, strict=True)]
    cues = subtitles.cues([segment(" ".join(said), 0, 20, words)])
    assert (cues[0].lines, cues[0].start, cues[0].end) == (("One two three.",), 0, 1100)
    assert cues[1].start == 10_000


def test_a_flash_stays_for_a_second_if_there_is_room():
    cues = subtitles.cues(
        [segment("Yes.", 1.0, 1.2), segment("No.", 1.7, 1.9), segment("Oh.", 9.8, 10)], 10.3
    )
    assert [(cue.start, cue.end) for cue in cues] == [(1000, 1700), (1700, 2700), (9800, 10300)]


def test_cues_have_a_length_and_an_order_whatever_the_segments():
    odd = [
        segment("a", 5, 5),
        segment("b", 4.9, 4.95),
        segment("", 6, 7),
        segment("  ", 6, 7),
        segment("c", 8, 7.5),
    ]
    cues = subtitles.cues(odd, 6.0)
    assert [cue.lines for cue in cues] == [("a",), ("b",), ("c",)]
    assert all(cue.start < cue.end for cue in cues)
    assert all(a.end <= b.start for a, b in itertools.pairwise(cues))


HOSTILE = [
    "x --> y",
    "a < b && b > c",
    "<i>not italic</i> &amp; <00:00:01.000>",
    "one\r\n\r\n2\r\n00:00:05,000 --> 00:00:06,000\r\nfalse",
    "null\x00 bell\x07 line\u2028separator\u0085next",
    "WEBVTT",
    "NOTE this is no comment",
    "7",
    "שלום (world) 123",
    "👩‍👩‍👧 family",
]


@pytest.mark.contract("audio.answer.subtitles")
@pytest.mark.parametrize("text", HOSTILE)
def test_vtt_is_read_back_as_it_was(text):
    body = subtitles.as_vtt([segment(text, 3599.5, 3602), segment("The end.", 360_000, 360_002)])
    first, second = webvtt.from_buffer(io.StringIO(body))
    visible = " ".join("".join(c if c.isprintable() or c == "\u200d" else " " for c in text).split())
    assert " ".join(html.unescape(first.raw_text).split()) == visible
    assert (first.start, first.end) == ("00:59:59.500", "01:00:02.000")
    assert (second.start, second.text) == ("100:00:00.000", "The end.")


@pytest.mark.contract("audio.answer.subtitles")
@pytest.mark.parametrize("text", HOSTILE)
def test_srt_is_read_back_as_it_was_but_for_arrows(text):
    body = subtitles.as_srt([segment(text, 3599.5, 3602), segment("The end.", 360_000, 360_002)])
    first, second = srt.parse(body)
    visible = " ".join("".join(c if c.isprintable() or c == "\u200d" else " " for c in text).split())
    assert " ".join(first.content.split()) == visible.replace("-->", "->")
    assert (first.index, first.start.total_seconds(), first.end.total_seconds()) == (1, 3599.5, 3602)
    assert (second.index, second.start.total_seconds(), second.content) == (2, 360_000, "The end.")


@pytest.mark.parametrize("language", LONG)
def test_both_formats_tell_the_same(language):
    segments = [segment(LONG[language], 1.0, 21.0), segment(LONG[language], 21.5, 40.0)]
    from_srt = [
        (c.start.total_seconds(), c.end.total_seconds(), c.content)
        for c in srt.parse(subtitles.as_srt(segments))
    ]
    found = webvtt.from_buffer(io.StringIO(subtitles.as_vtt(segments)))
    from_vtt = [(c.start_in_seconds, c.end_in_seconds, html.unescape(c.raw_text)) for c in found]
    assert [(int(start), int(end), text) for start, end, text in from_srt] == from_vtt
    assert squeezed("".join(text for _, _, text in from_srt)) == 2 * squeezed(LONG[language])


def test_nothing_said_is_a_file_without_cues():
    assert subtitles.as_srt([]) == ""
    assert subtitles.as_vtt([]) == "WEBVTT\n"
    assert list(webvtt.from_buffer(io.StringIO(subtitles.as_vtt([])))) == []


def test_tsv_has_a_row_a_segment_in_milliseconds():
    rows = subtitles.as_tsv([segment("a\tb\nc", 0.5, 1.25), segment("d", 2, 3)])
    assert rows == "start\tend\ttext\n500\t1250\ta b c\n2000\t3000\td\n"


@pytest.mark.slow
def test_an_hour_of_dense_text_takes_no_time():
    segments = [segment(LONG["Chinese"] * 2, 30 * i, 30 * i + 29) for i in range(120)]
    begun = time.process_time()
    assert len(subtitles.cues(segments)) > 400
    assert time.process_time() - begun < 10


HOUR = [Segment(0, 0.0, 1.5, "Hello,"), Segment(1, 3599.9996, 3602.25, " world --> end\nof")]


def test_srt_counts_from_one_and_rounds_up_to_the_next_hour():
    assert subtitles.as_srt(HOUR, 3603.0) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello,\n\n2\n01:00:00,000 --> 01:00:02,250\nworld -> end of\n"
    )


def test_vtt_has_its_header_and_points():
    assert subtitles.as_vtt(HOUR, 3603.0).startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello,\n\n01:00:00.000"
    )


def test_nothing_said_makes_empty_subtitles():
    assert subtitles.Subtitles("srt").text(2.0) == ""
    assert subtitles.Subtitles("vtt").text(2.0) == "WEBVTT\n"


def test_speakers_are_marked_and_may_speak_at_the_same_time():
    both = [
        Segment(0, 0.0, 5.0, "Hello.", channel=0, speaker="left"),
        Segment(1, 2.0, 3.0, "<Yes>.", channel=1, speaker="right"),
        Segment(2, 4.0, 6.0, "Bye.", channel=0, speaker="left"),
    ]
    srt, vtt = subtitles.as_srt(both), subtitles.as_vtt(both)
    assert "00:00:02,000 --> 00:00:03,000\nright: <Yes>.\n" in srt
    assert "00:00:02.000 --> 00:00:03.000\n<v right>&lt;Yes&gt;.\n" in vtt
    assert "00:00:05,000 --> 00:00:06,000\nleft: Bye.\n" in srt  # one speaker's do not overlap
    assert subtitles.as_tsv(both).splitlines()[2] == "2000\t3000\tright: <Yes>."
