"""Whisper behind the engine's protocol, with random weights of few dimensions and the real vocabulary."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from ominix.errors import JobRefused
from ominix.models.recogniser import Draw
from ominix.models.whisper import quality
from ominix.models.whisper.config import Config
from ominix.models.whisper.model import Model
from ominix.models.whisper.quality import Quality
from ominix.models.whisper.recogniser import WhisperRecogniser
from ominix.models.whisper.rules import log_softmax
from ominix.models.whisper.tokenizer import LANGUAGES, SpecialTokens, Vocabulary
from ominix.models.whisper.window import Attempt
from ominix.wire.jobs import SearchOptions, TranscriptionJob

pytestmark = pytest.mark.slow

SIZES = {"n_audio_ctx": 50, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 1}
SIZES |= {"n_text_ctx": 32, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1}


@pytest.fixture(scope="module")
def vocabularies():
    return {multilingual: Vocabulary(multilingual) for multilingual in (True, False)}


@pytest.fixture(scope="module")
def make(vocabularies):
    def make(n_vocab: int = 51865, scale: float = 3.0) -> WhisperRecogniser:
        """`scale` of the output's weights: a large one makes the model sure of what it says."""
        mx.random.seed(1)
        model = Model(Config(n_vocab=n_vocab, **SIZES))
        model.decoder.token_embedding.weight = mx.random.normal((n_vocab, 16)) * scale
        model.decoder.positional_embedding = mx.random.normal((32, 16))
        tokens = SpecialTokens(n_vocab)
        return WhisperRecogniser(model, vocabularies[tokens.multilingual], tokens)

    return make


def sound(seed: int, seconds: float = 0.8) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)


def begin(recogniser, job: TranscriptionJob, seed: int, prompt=None) -> int:
    features = recogniser.features(sound(seed))
    return recogniser.begin(features, prompt or recogniser.prompt(job)).number


def drawn(recogniser, rows: list[int]) -> dict[int, list[Draw]]:
    """Steps until all of these are answered, and drops them."""
    found: dict[int, list[Draw]] = {row: [] for row in rows}
    for _ in range(2000):
        for draw in recogniser.step():
            found[draw.row].append(draw)
        if all(draws and draws[-1].token == recogniser._tokens.end for draws in found.values()):
            recogniser.drop(rows)
            return found
    raise AssertionError("no end")


GIVEN = TranscriptionJob("", language="German")


def test_answers_do_not_depend_on_those_beside_them(make):
    recogniser = make(scale=1.0)
    warm = TranscriptionJob("", language="German", temperature=1.0)
    alone = []
    for seed in range(3):
        row = begin(recogniser, warm, seed)
        alone.append([(d.token, round(d.logprob, 3)) for d in drawn(recogniser, [row])[row]])
    rows = [begin(recogniser, warm, seed) for seed in range(2)]
    for _ in range(5):
        assert recogniser.step() == []
    rows.append(begin(recogniser, warm, 2))
    together = drawn(recogniser, rows)
    assert [[(d.token, round(d.logprob, 3)) for d in together[row]] for row in rows] == alone
    assert alone[0] != alone[1]


def test_a_language_that_is_not_given_is_found_and_comes_first(make):
    recogniser = make()
    job = TranscriptionJob("")
    row = begin(recogniser, job, 1)
    answer = recogniser.answer(job)
    draws = drawn(recogniser, [row])[row]
    assert answer.language is None
    assert answer.feed(draws[0]) == ""
    assert answer.language in recogniser._prompts.codes
    assert -5 < draws[0].logprob <= 0
    for draw in draws[1:]:
        answer.feed(draw)
    assert answer.finished and len(answer.logprobs) == len(answer.tokens) + 1


def test_the_clips_of_a_job_share_what_they_say_of_its_language(make):
    recogniser = make()
    prompt = recogniser.prompt(TranscriptionJob(""))
    rows = [begin(recogniser, TranscriptionJob(""), seed, prompt) for seed in range(4)]
    drawn(recogniser, rows)
    assert prompt.evidence.sum() == pytest.approx(4 * 0.8)


def test_earlier_clips_outvote_a_short_one(make):
    recogniser = make()
    prompt = recogniser.prompt(TranscriptionJob(""))
    prompt.evidence[7] = 100.0  # seconds
    row = begin(recogniser, TranscriptionJob(""), 1, prompt)
    assert drawn(recogniser, [row])[row][0].token == recogniser._tokens.first_language + 7


def test_an_unsure_answer_is_decoded_again_until_the_last_temperature(make):
    recogniser = make(scale=0.01)  # all tokens alike: avg_logprob is -10.8
    row = begin(recogniser, GIVEN, 1)
    window = recogniser._windows[row]
    draws = drawn(recogniser, [row])[row]
    assert [attempt.temperature for attempt in window.attempts] == list(quality.TEMPERATURES)
    assert len({tuple(attempt.tokens) for attempt in window.attempts}) > 1
    best = max(window.attempts, key=lambda a: a.quality.avg_logprob)
    assert [draw.token for draw in draws][: len(best.tokens)] == best.tokens


def test_a_sure_answer_is_decoded_once_and_a_given_temperature_is_kept(make):
    recogniser = make(scale=0.01)
    row = begin(recogniser, TranscriptionJob("", language="German", temperature=0.7), 1)
    window = recogniser._windows[row]
    first = drawn(recogniser, [row])[row]
    assert [attempt.temperature for attempt in window.attempts] == [0.7]
    row = begin(recogniser, TranscriptionJob("", language="German", temperature=0.7), 1)
    assert [d.token for d in drawn(recogniser, [row])[row]] == [d.token for d in first]  # the same sound


def test_an_answer_is_cut_off_at_half_the_positions(make):
    recogniser = make(scale=0.01)
    row = begin(recogniser, GIVEN, 1)
    assert len(drawn(recogniser, [row])[row]) == 16 + 1


def test_silence_is_an_end_alone(make):
    recogniser = make()
    begin(recogniser, GIVEN, 1)
    (window,) = recogniser._windows.values()
    window.attempts.append(Attempt(0.0, [400], [-3.0], 0.9, Quality(-3.0, 1.0, 0.9)))
    (draw,) = recogniser._verdicts.draws(window, window.attempts[0])
    answer = recogniser.answer(GIVEN)
    assert answer.feed(draw) + answer.end() == ""
    assert answer.finished and answer.no_speech_prob == pytest.approx(0.9)


def test_rows_can_be_dropped_at_any_time(make):
    recogniser = make()
    for steps in range(4):
        doomed, kept = begin(recogniser, GIVEN, 1), begin(recogniser, GIVEN, 2)
        for _ in range(steps):
            assert not recogniser.step()
        recogniser.drop([doomed])
        found = drawn(recogniser, [kept])
        assert found[kept] and not recogniser._windows
        assert recogniser.step() == []


def test_a_language_that_the_model_lacks_is_refused(make):
    with pytest.raises(JobRefused, match="does not know Cantonese") as refusal:
        make().prompt(TranscriptionJob("", language="Cantonese"))
    assert refusal.value.param == "language"
    with pytest.raises(JobRefused, match="It knows: English"):
        make(51864).prompt(GIVEN)


def test_an_english_only_model_answers_in_english(make):
    recogniser = make(51864)
    job = TranscriptionJob("")
    row = begin(recogniser, job, 1)
    assert recogniser.answer(job).language == "English"
    first = drawn(recogniser, [row])[row][0].token
    assert not recogniser._tokens.first_language <= first < recogniser._tokens.translate


def test_a_prompt_stands_before_the_audio_s(make):
    recogniser = make()
    prompt = recogniser.prompt(TranscriptionJob("", language="German", context="Ominix"))
    assert prompt.before[0] == recogniser._tokens.start_of_prev
    row = begin(recogniser, GIVEN, 1, prompt)
    (draw, *_) = drawn(recogniser, [row])[row]
    assert math.exp(draw.no_speech_logprob) < 1


def test_text_grows_by_whole_characters(make, vocabularies):
    answer = make().answer(GIVEN)
    tokens = vocabularies[True].encode(" Größe  \n 你 ")
    pieces = [answer.feed(Draw(1, token, -0.5, -3.0)) for token in tokens]
    assert "".join(pieces) + answer.end() == "Größe  \n 你"
    assert all(not piece.endswith((" ", "\n")) for piece in pieces)
    assert all("\ufffd" not in piece for piece in pieces)
    assert answer.tokens == tokens


def test_a_row_s_memory_is_that_of_its_window_and_its_text(make):
    assert make().row_bytes == 2 * 1 * 16 * 4 * (50 + 32)


def test_the_encoder_works_layer_by_layer_and_a_dropped_clip_harms_no_other(make, vocabularies):
    mx.random.seed(1)
    model = Model(Config(n_vocab=51865, **SIZES | {"n_audio_layer": 3}))
    recogniser = WhisperRecogniser(model, vocabularies[True], SpecialTokens(51865))
    features = recogniser.features(sound(5))
    expected = model.encoder(mx.array(np.pad(features, ((0, 100 - len(features)), (0, 0))))[None])
    doomed, kept = begin(recogniser, GIVEN, 1), recogniser.begin(features, recogniser.prompt(GIVEN)).number
    recogniser.step()
    recogniser.drop([doomed])
    window = recogniser._windows[kept]
    for _ in range(3):
        assert window.audio is None
        assert recogniser.step() == []
    assert mx.allclose(window.audio, expected, atol=1e-5)


def test_whether_anybody_speaks_is_asked_behind_the_start_not_behind_the_prompt(make):
    recogniser = make(scale=1.0)
    prompt = recogniser.prompt(TranscriptionJob("", language="German", context="Ominix"))
    features = recogniser.features(sound(1))
    row = recogniser.begin(features, prompt).number
    (draw, *_) = drawn(recogniser, [row])[row]
    decoder = recogniser._model.decoder
    cache = decoder.listen(recogniser._encodings.of(features))
    states = decoder([[*prompt.before, recogniser._tokens.start]], cache)
    logits = np.array(decoder.logits(states)[0, -1])
    assert draw.no_speech_logprob == pytest.approx(
        log_softmax(logits)[recogniser._tokens.no_speech], abs=1e-3
    )


def test_beams_are_decoded_beside_greedy_rows_and_give_what_they_give_alone(make):
    recogniser = make(scale=1.0)
    warm = {"language": "German", "temperature": 1.0}
    jobs = [
        TranscriptionJob("", language="German", search=SearchOptions(beam_size=5, best_of=2)),
        GIVEN,
        TranscriptionJob("", **warm, search=SearchOptions(best_of=3)),
        TranscriptionJob("", language="German", search=SearchOptions(beam_size=3)),
    ]
    alone = []
    for seed, job in enumerate(jobs):
        row = begin(recogniser, job, seed)
        alone.append([draw.token for draw in drawn(recogniser, [row])[row]])
    rows = [begin(recogniser, job, seed) for seed, job in enumerate(jobs)]
    together = drawn(recogniser, rows)
    assert [[draw.token for draw in together[row]] for row in rows] == alone
    assert recogniser._rows._cache is None


def test_a_beam_is_more_probable_than_the_greedy_answer(make):
    recogniser = make(scale=1.0)
    means = []
    for size in (1, 5):
        job = TranscriptionJob("", language="German", search=SearchOptions(beam_size=size))
        row = begin(recogniser, job, 3)
        window = recogniser._windows[row]
        window.temperatures = type(window.temperatures)([0.0])
        means.append(drawn(recogniser, [row])[row][0].verdict.avg_logprob)
    assert means[1] > means[0]


def test_beams_count_for_their_memory(make):
    prompt = make().prompt
    assert prompt(GIVEN).rows == 1
    assert prompt(TranscriptionJob("", search=SearchOptions(beam_size=5))).rows == 3  # 50 + 5 * 32 by 82


@pytest.mark.parametrize(
    ("fields", "hinted"),
    [
        ({"language": "Chinese"}, True),
        ({"language": "Chinese", "context": "台灣"}, False),
        ({"language": "Chinese", "translate": True}, False),
        ({"language": "Chinese", "sequential": True}, False),
        ({"language": "German"}, False),
    ],
)
def test_a_chinese_clip_without_a_prompt_is_told_its_script(make, fields, hinted):
    """Clips of one recording came in simplified and in traditional characters, as chance would have it."""
    recogniser = make()
    job = TranscriptionJob("", **fields)
    row = begin(recogniser, job, 1)
    while recogniser._windows[row].audio is None:
        recogniser.step()
    hint = recogniser._prompts.script_hint("zh")
    assert (list(recogniser._windows[row].before) == hint) is hinted
    recogniser.drop([row])


def test_each_clip_of_a_multilingual_recording_has_its_own_language(make):
    recogniser = make()
    languages = {}
    for multilingual in (False, True):
        prompt = recogniser.prompt(TranscriptionJob("", multilingual=multilingual))
        prompt.evidence[7] = 1e6  # an hour of another language before
        row = begin(recogniser, TranscriptionJob(""), 1, prompt)
        while recogniser._windows[row].code is None:
            recogniser.step()
        languages[multilingual] = recogniser._windows[row].code
        recogniser.drop([row])
    assert languages[False] == LANGUAGES[7] != languages[True]
