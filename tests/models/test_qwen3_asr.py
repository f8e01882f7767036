"""Qwen3-ASR against the answers that transformers gave (tools/reference/qwen3_asr.py), and its loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache

from ominix.cpu import dense
from ominix.models.qwen3_asr import config, features, tokenizer, weights
from ominix.models.qwen3_asr.prompt import Grammar

GOLDEN = Path(__file__).parent.parent / "golden" / "qwen3_asr"
LENGTHS = ("0.1", "1.0", "1.01", "8.0", "35.0")  # seconds


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "answers.npz")


@pytest.fixture(scope="module")
def model():
    return weights.load(GOLDEN)


@pytest.fixture(scope="module")
def mels(golden):
    samples = golden["samples"].astype(np.float32) / 32768
    return {name: features.log_mel(samples[: round(float(name) * 16_000)]) for name in LENGTHS}


def distance(a, b) -> float:
    return float(np.abs(np.array(a) - np.array(b)).max())


def logits(model, audio) -> tuple[mx.array, list]:
    before, after = Grammar(tokenizer.load(GOLDEN)).prompt("one two", None)
    cache = make_prompt_cache(model)
    states = model.states(model.embed(before, audio, after)[None], cache)
    return model.logits(states)[0], cache


# Numbers


@pytest.mark.parametrize("name", LENGTHS)
def test_features_are_the_reference_s(golden, mels, name):
    assert distance(golden[f"{name}/features"], mels[name][::16]) < 1e-5


def test_features_of_silence_and_of_very_short_clips_are_finite():
    for samples in (np.zeros(0, np.float32), np.zeros(1, np.float32), np.ones(500, np.float32)):
        mel = features.log_mel(samples)
        assert mel.shape == (50, 128)
        assert np.isfinite(mel).all()


@pytest.mark.parametrize("name", LENGTHS)
def test_encoder_logits_and_greedy_tokens_are_the_reference_s(golden, model, mels, name):
    audio = model.audio_tower([mels[name]])[0]
    assert distance(golden[f"{name}/encoder"], audio) < 1e-4

    found, cache = logits(model, audio)
    assert distance(golden[f"{name}/logits"], np.array(found)[::-1][::8]) < 1e-4

    tokens = [int(mx.argmax(found[-1]))]
    expected = golden[f"{name}/tokens"].tolist()
    while len(tokens) < len(expected):
        tokens.append(int(mx.argmax(model(mx.array([tokens[-1:]]), cache=cache)[0, -1])))
    assert tokens == expected


def test_clips_in_a_batch_are_encoded_as_they_are_alone(golden, model, mels):
    names = ["8.0", "35.0", "0.1", "1.01", "35.0", "1.0"]
    together = model.audio_tower([mels[name] for name in names])
    for name, audio in zip(names, together, strict=True):
        assert distance(golden[f"{name}/encoder"], audio) < 1e-4


def test_float32_for_the_cpu_gives_the_same_numbers(golden, mels):
    model = weights.load(GOLDEN)
    dense.make(model)
    audio = model.audio_tower([mels["1.01"]])[0]
    found, cache = logits(model, audio)
    assert distance(golden["1.01/logits"], np.array(found)[::-1][::8]) < 1e-4
    one_row = model(mx.array([golden["1.01/tokens"][:1].tolist()]), cache=cache)
    assert int(mx.argmax(one_row[0, -1])) == golden["1.01/tokens"][1]


# Layouts


def golden_weights() -> dict[str, mx.array]:
    """Under the names of the mlx layout, convolutions still as torch has them."""
    return {weights.renamed(name): a for name, a in mx.load(str(GOLDEN / "model.safetensors")).items()}


def channels_last(arrays: dict[str, mx.array]) -> dict[str, mx.array]:
    return {n: mx.contiguous(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a for n, a in arrays.items()}


def write(folder: Path, arrays: dict[str, mx.array], change=lambda raw: raw) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("tokenizer.json", "generation_config.json"):
        shutil.copy(GOLDEN / name, folder)
    raw = json.loads((GOLDEN / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(change(raw)))
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)
    return folder


def answer(folder: Path, mels) -> np.ndarray:
    model = weights.load(folder)
    return np.array(logits(model, model.audio_tower([mels["1.01"]])[0])[0])


def test_the_layout_of_the_original_checkpoints(golden, mels, tmp_path):
    def nested(raw):
        raw["text_config"]["rope_scaling"] = {"type": "default", "mrope_section": [3, 3, 2]}
        return {"model_type": "qwen3_asr", "thinker_config": raw}

    arrays = {f"thinker.{name}": a for name, a in golden_weights().items()}
    found = answer(write(tmp_path, arrays, nested), mels)
    assert distance(golden["1.01/logits"], found[::-1][::8]) < 1e-4


def test_the_layout_of_mlx_community(golden, mels, tmp_path):
    found = answer(write(tmp_path, channels_last(golden_weights())), mels)
    assert distance(golden["1.01/logits"], found[::-1][::8]) < 1e-4


@pytest.mark.parametrize("told", [True, False])
def test_quantized_weights_with_a_layer_of_another_width(mels, tmp_path, told):
    """Each module has the width of its arrays, whether config.json tells it or not."""
    special = "model.layers.1.mlp.down_proj"
    packed = channels_last(golden_weights())
    plain = dict(packed)
    for name, array in plain.copy().items():
        if name.startswith("model.") and array.ndim == 2:
            widths = (
                {"group_size": 64, "bits": 8} if name.startswith(special) else {"group_size": 32, "bits": 4}
            )
            stem = name.removesuffix(".weight")
            if array.shape[-1] % widths["group_size"]:
                widths["group_size"] = 32
            parts = mx.quantize(array, **widths)
            packed |= dict(zip((name, f"{stem}.scales", f"{stem}.biases"), parts, strict=True))
            plain[name] = mx.dequantize(*parts, **widths)
    settings = {"group_size": 32, "bits": 4, special: {"group_size": 32, "bits": 8}}
    folder = write(
        tmp_path / "q", packed, lambda raw: {**raw, **({"quantization": settings} if told else {})}
    )
    expected = answer(write(tmp_path / "p", plain), mels)

    assert distance(answer(folder, mels), expected) < 1e-4
    model = weights.load(folder)
    dense.make(model)
    assert distance(logits(model, model.audio_tower([mels["1.01"]])[0])[0], expected) < 1e-4


def test_missing_surplus_and_misshapen_weights_are_named(tmp_path):
    arrays = golden_weights()
    del arrays["audio_tower.ln_post.bias"]
    arrays["model.layers.0.mlp.extra"] = mx.zeros(3)
    arrays["model.norm.weight"] = mx.zeros(5)
    with pytest.raises(ValueError) as caught:
        weights.load(write(tmp_path, arrays))
    text = str(caught.value)
    assert "missing: audio_tower.ln_post.bias" in text
    assert "surplus: model.layers.0.mlp.extra" in text
    assert "misshapen: model.norm.weight (5,) instead of (64,)" in text


def test_tied_heads_and_computed_constants_are_not_surplus(tmp_path):
    arrays = golden_weights()
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    arrays["audio_tower.positional_embedding.positional_embedding"] = mx.zeros((13, 64))
    weights.load(write(tmp_path, arrays))


def test_an_untied_head_is_used(mels, tmp_path):
    arrays = {**golden_weights(), "lm_head.weight": mx.zeros((319, 64))}

    def untied(raw):
        return {
            **raw,
            "tie_word_embeddings": False,
            "text_config": {**raw["text_config"], "tie_word_embeddings": False},
        }

    assert not answer(write(tmp_path, arrays, untied), mels).any()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: {**raw, "model_type": "whisper"}, "'whisper'"),
        (lambda raw: {**raw, "architectures": ["Qwen3ASRForcedAligner"]}, "forced aligner"),
        (lambda raw: {**raw, "architectures": ["Qwen3ASRForTokenClassification"]}, "forced aligner"),
        (lambda raw: [], "JSON object"),
    ],
)
def test_other_models_are_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(ValueError, match=reason):
        weights.load(write(tmp_path, golden_weights(), change))


def test_folders_without_usable_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        weights.load(tmp_path)
    write(tmp_path, golden_weights())
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        weights.load(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no \.safetensors"):
        weights.load(tmp_path)


@pytest.mark.big
@pytest.mark.timeout(900)
def test_a_full_size_model_loads_and_answers(tmp_path):
    """0.6B, random weights: 1.6 GB of file, about 5 GB of memory."""
    from tools import bench_asr

    folder = bench_asr.write_checkpoint(tmp_path / "model")
    model = weights.load(folder)
    dense.make(model)
    audio = model.audio_tower([features.log_mel(np.random.RandomState(0).randn(48_000).astype(np.float32))])[
        0
    ]
    assert audio.shape == (39, 1024)
    before, after = Grammar(tokenizer.load(folder)).prompt("", "English")
    states = model.states(model.embed(before, audio, after)[None], make_prompt_cache(model))
    assert states.shape == (1, len(before) + 39 + len(after), 1024)
    found = model.logits(states[:, -1])
    assert found.shape == (1, 151936)
    assert np.isfinite(np.array(found)).all()
    assert config.read(folder).audio_config.window == 104
