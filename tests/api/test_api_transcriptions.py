from __future__ import annotations

import pytest

from ominix.api import transcriptions
from ominix.errors import InvalidRequest
from ominix.http import schemas
from ominix.wire.events import Delta, Progress, Segment, Started, TranscriptionDone, Word

EVENTS = [
    Started(),
    Progress(1.0, None),
    Delta("Hello,"),
    Delta(" world"),
    Segment(0, 0.0, 1.5, "Hello,", tokens=(1, 2), avg_logprob=-0.1),
    Segment(1, 3599.9996, 3602.25, " world --> end\nof", tokens=(3,)),
    TranscriptionDone("Hello, world", "English", 3603.0, 5, 7, 3),
]


@pytest.fixture
def found():
    return transcriptions.collected(EVENTS)


def test_text_is_the_done_text(found):
    assert transcriptions.TEXTS["text"](found.done) == "Hello, world\n"
    assert transcriptions.as_json(found, logprobs=False) == {
        "text": "Hello, world",
        "usage": {"type": "duration", "seconds": 3603.0},
    }


def test_subtitles_are_handed_on_as_the_worker_has_made_them():
    done = TranscriptionDone("Hello", "English", 1.0, subtitles="WEBVTT\n")
    assert [transcriptions.TEXTS[form](done) for form in ("srt", "vtt")] == ["WEBVTT\n"] * 2


@pytest.mark.parametrize(
    ("form", "stream", "subtitles"),
    [("srt", False, "srt"), ("vtt", False, "vtt"), ("json", False, None), ("srt", True, None)],
)
def test_the_worker_lays_out_the_subtitles_of_answers_that_are_not_streamed(form, stream, subtitles):
    fields = {"response_format": form, "stream": stream, "temperature": 0}
    assert transcriptions.transcription_job(fields, -1, {}).subtitles == subtitles


def test_nothing_said_makes_an_empty_text():
    empty = transcriptions.collected([TranscriptionDone("", None, 2.0)])
    assert transcriptions.TEXTS["text"](empty.done) == "\n"
    assert transcriptions.as_verbose_json(empty)["language"] == ""


def test_segments_have_every_field(found):
    second = transcriptions.as_verbose_json(found)["segments"][1]
    assert (second["id"], second["seek"], second["tokens"]) == (1, 360000, [3])
    assert second["compression_ratio"] == transcriptions.compression_ratio(" world --> end\nof")


def test_loops_compress_well():
    assert (
        transcriptions.compression_ratio("again " * 100)
        > 10
        > transcriptions.compression_ratio("say it once")
    )


def test_the_sum_of_deltas_is_the_done_text():
    sent = [body for event in EVENTS if (body := transcriptions.stream_event(event))]
    deltas = "".join(b["delta"] for b in sent if b["type"] == "transcript.text.delta")
    assert deltas == sent[-1]["text"]
    assert sent[-1]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize("given", [{"language": "de"}, {"languages": ["de", "en"]}])
def test_a_language_that_the_model_does_not_know_is_refused(given):
    """Whatever the table of languages has: a family knows its own."""
    fields = schemas.checked("transcription_request", {"file_path": "a.wav", **given})
    assert transcriptions.transcription_job(fields, 0, {}, {"English", "German"}).helpers == {}
    with pytest.raises(InvalidRequest, match=r"does not speak German. It speaks: Czech, English\.") as caught:
        transcriptions.transcription_job(fields, 0, {}, {"English", "Czech"})
    assert caught.value.param == next(iter(given))


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("whisper-1", "english"),
        ("gpt-4o-transcribe", "english"),
        ("gpt-4o-mini-transcribe-2025-12-15", "english"),
        ("qwen3-asr", "English"),
        ("whisper-base", "English"),
        ("tiny-asr", "English"),
    ],
)
def test_openai_s_names_get_openai_s_spelling_of_languages(model, language):
    """The AI SDK looks "english" up in a table and finds nothing for "English"."""
    assert transcriptions.spelled("English", model) == language
    assert transcriptions.spelled(None, model) == ""


def test_what_the_model_knows_of_words_and_language_is_shown():
    word = Word("one", 0.0, 0.5, 0.75)
    segment = Segment(0, 0.0, 0.5, "one", words=(word, Word("two", 0.5, 0.9)))
    done = TranscriptionDone("one", "English", 1.0, language_probability=0.9)
    body = transcriptions.as_verbose_json(transcriptions.collected([segment, done]), words=True)
    assert [w.get("probability") for w in body["words"]] == [0.75, None]
    assert body["language_probability"] == 0.9
    assert schemas.mismatch("transcription_verbose", body) is None
    assert transcriptions.stream_event(done)["language_probability"] == 0.9


def test_hotwords_and_keywords_follow_the_prompt():
    asked = {"file_path": "a.wav", "prompt": "A talk.", "hotwords": "Ominix", "keywords": ["mlx", "Falcon"]}
    fields = schemas.checked("transcription_request", asked)
    assert transcriptions.transcription_job(fields, 0, {}).context == "A talk.\nOminix\nmlx\nFalcon"
