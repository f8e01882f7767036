"""The embedded speech model and aligner through HTTP: words against the synthesisers' own marks."""

from __future__ import annotations

import difflib
import io
import itertools
import json
from pathlib import Path

import numpy as np
import openai
import pytest
import soundfile
from serving import RunningServer

SPEECH = Path(__file__).parents[1] / "data" / "speech"
MARKED = json.loads((SPEECH / "marked.json").read_text("utf-8"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("speech")]


@pytest.fixture(scope="module")
def client(speech_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{speech_server.url}/v1", api_key="any", timeout=120, max_retries=0)


def ask(client: openai.OpenAI, data: bytes, **fields):
    granularities = {"timestamp_granularities": ["word"], "response_format": "verbose_json"}
    return client.audio.transcriptions.create(
        file=("a", data), model="whisper-1", **{**granularities, **fields}
    )


def samples_of(clip: dict) -> np.ndarray:
    return soundfile.read(SPEECH / clip["file"], dtype="float32")[0]


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def check(answer) -> None:
    words = answer.words
    assert "".join(w.word for w in words) == "".join(answer.text.split())
    assert all(0 <= w.start <= w.end <= answer.duration for w in words)
    assert all(a.end <= b.start for a, b in itertools.pairwise(words))


def errors(words, marks: list, offset: float = 0.0) -> list[float]:
    """Seconds between told and true borders of the words that were understood."""
    matcher = difflib.SequenceMatcher(None, [w.word for w in words], [m[0] for m in marks], autojunk=False)
    found = []
    for block in matcher.get_matching_blocks():
        for i in range(block.size):
            word, (_, start, end) = words[block.a + i], marks[block.b + i]
            found += [abs(word.start - start - offset), abs(word.end - end - offset)]
    return found


def test_words_of_voices_never_heard(client):
    found = []
    for clip in MARKED:
        answer = ask(client, (SPEECH / clip["file"]).read_bytes(), language=clip["language"])
        check(answer)
        found += errors(answer.words, clip["words"])
    mean, median, ninth = np.mean(found), np.median(found), np.percentile(found, 90)
    print(f"{len(found)} borders: mean {mean:.3f} s, median {median:.3f} s, 90 % {ninth:.3f} s")
    assert median < 0.1
    assert ninth < 0.4


def test_leading_silence_and_clips_before_it_shift_nothing(client):
    """A recording of several clips: the words of each are where they are said."""
    clip = MARKED[0]
    alone = samples_of(clip)
    offset = 25.0
    whole = np.concatenate([np.zeros(int(offset * 16_000), np.float32), alone, alone])
    answer = ask(client, wav(whole), language=clip["language"])
    check(answer)
    second = [(w, s + len(alone) / 16_000, e + len(alone) / 16_000) for w, s, e in clip["words"]]
    found = errors(answer.words, [*clip["words"], *second], offset)
    assert len(found) > 2 * len(clip["words"])
    assert np.median(found) < 0.12


def test_segments_lie_between_the_pauses(client):
    """A second of silence is between the marked utterances: each segment is inside one of them."""
    clip = MARKED[0]
    utterances, words = [], clip["words"]
    begin = words[0][1]
    for before, after in itertools.pairwise(words):
        if after[1] - before[2] > 0.8:
            utterances.append((begin, before[2]))
            begin = after[1]
    utterances.append((begin, words[-1][2]))
    answer = ask(client, (SPEECH / clip["file"]).read_bytes(), language=clip["language"])
    assert len(answer.segments) >= len(utterances)
    for segment in answer.segments:
        nearest = min(utterances, key=lambda u: abs(u[0] - segment.start))
        assert nearest[0] - 0.5 < segment.start < segment.end < nearest[1] + 0.5


def test_streamed_segments_carry_words(client):
    clip = MARKED[1]
    stream = ask(client, (SPEECH / clip["file"]).read_bytes(), stream=True)
    words = [w for event in stream if event.type == "transcript.text.segment" for w in event.words]
    plain = ask(client, (SPEECH / clip["file"]).read_bytes())
    assert [(w["word"], w["start"], w["end"]) for w in words] == [
        (w.word, w.start, w.end) for w in plain.words
    ]


def test_a_language_that_the_aligner_does_not_know(client):
    with pytest.raises(openai.BadRequestError, match="Words of German cannot be given times"):
        ask(client, (SPEECH / MARKED[0]["file"]).read_bytes(), language="de")
