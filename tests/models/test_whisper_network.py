"""Whisper's network against transformers' (tools/reference/whisper.py), in every layout of the weights."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
import whisper_folders as folders
from whisper_folders import GOLDEN

from ominix.cpu import backend, door
from ominix.models.whisper import weights

PROMPT = [3, 5, 7, 11]


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "answers.npz")


@pytest.fixture(scope="module")
def model():
    return weights.load(GOLDEN)


def distance(a, b) -> float:
    return float(np.abs(np.array(a) - np.array(b)).max())


def encoded(model, golden, window: int) -> mx.array:
    return model.encoder(mx.array(golden["mels"][window : window + 1]))


def greedy(model, audio: mx.array, prompt=PROMPT, count: int = 16) -> tuple[list[int], np.ndarray]:
    """Token by token with the cache; all logits on the way."""
    cache = model.decoder.listen(audio)
    logits = model.decoder.logits(model.decoder.prefill([prompt], cache))[0]
    rows, tokens = [np.array(logits)], []
    while len(tokens) < count:
        tokens.append(int(rows[-1][-1].argmax()))
        rows.append(np.array(model.decoder.logits(model.decoder([tokens[-1:]], cache))[0]))
    return tokens, np.concatenate(rows)


@pytest.mark.parametrize("window", [0, 1])
def test_encoder_logits_and_greedy_tokens_are_the_reference_s(golden, model, window):
    audio = encoded(model, golden, window)
    assert distance(golden[f"{window}/encoder"], audio[0]) < 1e-4
    tokens, logits = greedy(model, audio)
    assert distance(golden[f"{window}/logits"], logits) < 1e-4
    assert tokens == golden[f"{window}/tokens"].tolist()


EXACT = {
    "hugging face": folders.hugging_face,
    "hugging face, shards": folders.sharded,
    "hugging face, without prefix": folders.without_prefix,
    "mlx, npz": folders.mlx_npz,
    "mlx, safetensors": folders.mlx_safetensors,
    "openai's names": folders.openai_names,
    "ctranslate2": folders.ct2,
}


@pytest.mark.parametrize("layout", EXACT)
def test_every_layout_gives_the_same_numbers(golden, tmp_path, layout):
    found = weights.load(EXACT[layout](tmp_path / "model"))
    tokens, logits = greedy(found, encoded(found, golden, 0))
    assert distance(golden["0/logits"], logits) < 1e-4
    assert tokens == golden["0/tokens"].tolist()


COARSE = {
    "mlx, 8 bit": (folders.quantized, 0.1),
    "ctranslate2, float16": (lambda f: folders.ct2(f, folders.as_float16), 0.02),
    "ctranslate2, int8": (lambda f: folders.ct2(f, folders.as_int8), 0.1),
}


@pytest.mark.parametrize("layout", COARSE)
def test_coarse_weights_give_nearly_the_same_numbers(golden, tmp_path, layout):
    write, tolerance = COARSE[layout]
    found = weights.load(write(tmp_path / "model"))
    _, logits = greedy(found, encoded(found, golden, 0), PROMPT, 0)
    assert 0 < distance(golden["0/logits"][: len(PROMPT)], logits) < tolerance


def test_float32_for_the_cpu_gives_the_same_numbers(golden):
    model = weights.load(GOLDEN)
    door.settle(model, backend.Backend("cpu", "some"), lambda model: True)
    assert door.is_settled_for_cpu(model)
    tokens, logits = greedy(model, encoded(model, golden, 1))
    assert distance(golden["1/logits"], logits) < 1e-4
    assert tokens == golden["1/tokens"].tolist()


# Rows


def test_rows_of_different_lengths_compute_what_they_do_alone(golden, model):
    audio = model.encoder(mx.array(golden["mels"]))
    prompts = [PROMPT, [9, 8, 7, 6, 5, 4, 3]]
    alone = [greedy(model, audio[i : i + 1], prompts[i], 4) for i in range(2)]
    cache = model.decoder.listen(audio)
    states = model.decoder.prefill(prompts, cache)
    for step in range(4):
        ends = [len(p) - 1 for p in prompts] if step == 0 else [0, 0]
        logits = [np.array(model.decoder.logits(states[i, end])) for i, end in enumerate(ends)]
        for i, (_, rows) in enumerate(alone):
            assert distance(logits[i], rows[len(prompts[i]) - 1 + step]) < 1e-4
        states = model.decoder([[tokens[step]] for tokens, _ in alone], cache)


def test_a_row_may_join_late_and_leave_early(golden, model):
    audio = model.encoder(mx.array(golden["mels"]))
    first, second = (greedy(model, audio[i : i + 1], PROMPT, 6) for i in range(2))
    cache = model.decoder.listen(audio[:1])
    model.decoder.prefill([PROMPT], cache)
    for token in first[0][:2]:
        model.decoder([[token]], cache)
    late = model.decoder.listen(audio[1:])
    model.decoder.prefill([PROMPT], late)
    cache.extend(late)
    states = model.decoder([[first[0][2]], [second[0][0]]], cache)
    assert distance(model.decoder.logits(states[0, 0]), first[1][len(PROMPT) + 2]) < 1e-4
    assert distance(model.decoder.logits(states[1, 0]), second[1][len(PROMPT)]) < 1e-4
    cache.choose({1: [0]})
    states = model.decoder([[second[0][1]]], cache)
    assert distance(model.decoder.logits(states[0, 0]), second[1][len(PROMPT) + 1]) < 1e-4


def test_rows_of_a_group_share_their_sound_and_go_on_from_each_other(golden, model):
    """A group of three beside one of one, reordered: each row is offered what it is offered alone."""
    audio = model.encoder(mx.array(golden["mels"]))
    cache = model.decoder.listen(audio)
    model.decoder.prefill([PROMPT, PROMPT[:2]], cache)
    cache.choose({0: [0, 0, 0], 1: [0]})
    model.decoder([[3], [4], [5], [6]], cache)
    cache.choose({0: [2, 2, 0], 1: [0]})
    states = model.decoder([[7], [8], [9], [10]], cache)
    assert cache.audio[0][0].shape[0] == 2
    whole = [(0, [*PROMPT, 5, 7]), (0, [*PROMPT, 5, 8]), (0, [*PROMPT, 3, 9]), (1, [*PROMPT[:2], 6, 10])]
    for i, (sound, tokens) in enumerate(whole):
        alone = model.decoder.prefill([tokens], model.decoder.listen(audio[sound : sound + 1]))
        assert distance(model.decoder.logits(states[i, 0]), model.decoder.logits(alone[0, -1])) < 1e-4
    cache.choose({1: [0]})
    assert cache.sizes == [1] and cache.audio[0][0].shape[0] == 1
