"""Whisper as an aligner, with random weights of few dimensions and the real vocabulary."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from whisper_folders import GOLDEN

from ominix.models.aligner import Utterance
from ominix.models.whisper import weights
from ominix.models.whisper.aligner import WhisperAligner, heads
from ominix.models.whisper.config import Config
from ominix.models.whisper.encodings import Encodings
from ominix.models.whisper.model import Model
from ominix.models.whisper.tokenizer import SpecialTokens, Vocabulary


@pytest.fixture(scope="module")
def aligner():
    mx.random.seed(2)
    sizes = {"n_audio_ctx": 100, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 1}
    model = Model(Config(n_text_ctx=64, n_text_state=16, n_text_head=2, n_text_layer=2, **sizes))
    return WhisperAligner(model, Vocabulary(multilingual=True), SpecialTokens(51865), Encodings(model))


def utterance(aligner, text: str, language: str | None = "English", seconds: float = 1.6) -> Utterance:
    samples = np.random.default_rng(4).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    return Utterance(aligner.features(samples), text, language, 10.0, 10.0 + seconds)


def test_every_word_has_a_time_inside_its_clip(aligner):
    for language in ("English", "Chinese", "Klingon", None):
        (found,) = aligner.align([utterance(aligner, "one two, three", language)])
        assert " ".join(word.text for word in found).split() == ["one", "two", "three"]
        times = [time for word in found for time in (word.start, word.end)]
        assert times == sorted(times)
        assert times[0] >= 10.0 and times[-1] <= 11.6


def test_utterances_do_not_depend_on_those_beside_them(aligner):
    first, second = utterance(aligner, "one two"), utterance(aligner, "three")
    assert aligner.align([first, second]) == [*aligner.align([first]), *aligner.align([second])]


def test_nothing_said_and_no_sound_have_no_words(aligner):
    assert aligner.align([utterance(aligner, "")]) == [[]]
    assert aligner.align([utterance(aligner, "one", seconds=0.01)]) == [[]]


def test_a_text_beyond_the_decoder_s_positions_is_timed_as_far_as_it_goes(aligner):
    (found,) = aligner.align([utterance(aligner, "word " * 200)])
    assert len(found) == 200
    assert found[-1].end <= 11.6


def test_heads_that_the_network_lacks_are_not_used():
    upper = ((1, 0), (1, 1))
    sizes = {"n_text_layer": 2, "n_text_head": 2}
    assert heads(Config(**sizes)) == upper
    assert heads(Config(**sizes, alignment_heads=((0, 1), (1, 0)))) == ((0, 1), (1, 0))
    for wrong in ((25, 3), (0, 2), (-1, 0)):
        assert heads(Config(**sizes, alignment_heads=((1, 1), wrong))) == upper


def test_scores_are_what_attention_is_made_of():
    """Softmax of the scores times the values is what the cross-attention gives on."""
    model = weights.load(GOLDEN)
    decoder = model.decoder
    audio = mx.random.normal((1, 60, 32))
    chosen = ((0, 0), (0, 1))
    scores = decoder.attention_scores([[3, 5, 7]], decoder.listen(audio), chosen)  # (1, 2, 3, 60)
    block, cache = decoder.blocks[0], decoder.listen(audio)
    x, mask = decoder._embed([[3, 5, 7]], cache)
    x = block.with_text(x, cache.text[0], mask)
    heard = (mx.softmax(scores, axis=-1) @ cache.audio[0][1]).transpose(0, 2, 1, 3).reshape(1, 3, 32)
    expected = block.cross_attn(block.cross_attn_ln(x), cache.audio[0])
    assert mx.allclose(block.cross_attn.out(heard), expected, atol=1e-5)


def test_a_language_that_the_model_lacks_is_refused(aligner):
    assert aligner.refusal(None) is None and aligner.refusal("German") is None
    assert "cannot time words of Cantonese" in aligner.refusal("Cantonese").message


def test_a_clip_is_encoded_once_for_its_text_and_its_words(aligner):
    encodings = aligner._encodings
    spoken = utterance(aligner, "one")
    audio = encodings.of(spoken.features)
    aligner.align([spoken])
    assert encodings.of(spoken.features) is audio
    for seed in range(8):
        encodings.of(np.full((10, 80), seed, np.float32))
    assert encodings.of(spoken.features) is not audio  # only the last few are kept
