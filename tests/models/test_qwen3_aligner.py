"""The forced aligner against transformers' answers (tools/reference/qwen3_aligner.py), and its loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from ominix.cpu import dense
from ominix.models.qwen3_asr import alignment, config, features, tokenizer, weights, words

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent.parent / "golden"
FOLDER = GOLDEN / "qwen3_aligner"
CASES = json.loads((FOLDER / "answers.json").read_text("utf-8"))
ALL = tuple(range(len(CASES)))
FEW = (0, 1, 3)


@pytest.fixture(scope="module")
def mels():
    samples = np.load(GOLDEN / "qwen3_asr" / "answers.npz")["samples"].astype(np.float32) / 32768
    return [features.log_mel(samples[: round(case["seconds"] * 16_000)]) for case in CASES]


def answers(folder: Path, mels, chosen=ALL, as_float32: bool = False) -> list[dict]:
    """Of these cases, in one batch."""
    model = weights.load_aligner(folder)
    if as_float32:
        dense.make(model)
    questions = alignment.Questions(tokenizer.load(folder), config.read_aligner(folder))
    asked, prompts, places = [], [], []
    heard = model.audio_tower([mels[i] for i in chosen])
    for i, audio in zip(chosen, heard, strict=True):
        found = [place.read for place in words.split(CASES[i]["text"], CASES[i]["language"])]
        question = questions.ask(found)
        asked.append(found)
        prompts.append(model.embed(question.before, audio, question.after))
        places.append(question.places(len(audio)))
    return [
        {"words": found, "classes": classes, "times": [list(t) for t in alignment.times(classes, 80.0)]}
        for found, classes in zip(asked, model.classes(prompts, places), strict=True)
    ]


def expected(chosen=ALL) -> list[dict]:
    return [{name: CASES[i][name] for name in ("words", "classes", "times")} for i in chosen]


def arrays_of(folder: Path, head: str) -> dict[str, mx.array]:
    """Under the names of the mlx layout, convolutions still as torch has them."""
    loaded = mx.load(str(folder / "model.safetensors"))
    return {weights.renamed(name).replace("score.", head): a for name, a in loaded.items()}


def write(folder: Path, arrays: dict[str, mx.array], change=lambda raw: raw) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copy(FOLDER / "tokenizer.json", folder)
    raw = json.loads((FOLDER / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(change(raw)))
    mx.save_safetensors(str(folder / "model.safetensors"), arrays)
    return folder


def nested(raw: dict) -> dict:
    """As Qwen publishes it: nothing but the inner part says that it is an aligner."""
    del raw["id2label"], raw["label2id"]
    stamp = raw.pop("timestamp_token_id")
    raw["text_config"] |= {"tie_word_embeddings": False, "rope_scaling": {"mrope_section": [3, 3, 2]}}
    inner = {**raw, "model_type": "qwen3_forced_aligner", "classify_num": 450}
    return {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "timestamp_token_id": stamp,
        "timestamp_segment_time": 80,
        "thinker_config": inner,
    }


# Numbers


def test_words_classes_and_times_are_the_reference_s(mels):
    assert answers(FOLDER, mels) == expected()


def test_a_clip_s_times_do_not_depend_on_its_neighbours(mels):
    for i in FEW:
        assert answers(FOLDER, mels, [i]) == expected([i])
    order = [4, 0, 3]
    assert answers(FOLDER, mels, order) == expected(order)


def test_float32_for_the_cpu_gives_the_same(mels):
    assert answers(FOLDER, mels, FEW, as_float32=True) == expected(FEW)


# Layouts


def test_the_layout_of_the_original_checkpoint(mels, tmp_path):
    arrays = {f"thinker.{name}": a for name, a in arrays_of(FOLDER, "lm_head.").items()}
    folder = write(tmp_path, arrays, nested)
    assert answers(folder, mels, FEW) == expected(FEW)
    read = config.read_aligner(folder)
    assert (read.classes, read.class_ms) == (450, 80.0)
    assert "Japanese" in read.languages


def test_the_layout_of_mlx_community_quantized(mels, tmp_path):
    plain = {
        name: mx.contiguous(a.transpose(0, 2, 3, 1)) if a.ndim == 4 else a
        for name, a in arrays_of(FOLDER, "lm_head.").items()
    }
    packed = dict(plain)
    for name, array in list(plain.items()):
        if name.startswith(("model.", "lm_head.")) and array.ndim == 2:
            parts = mx.quantize(array, group_size=32, bits=8)
            stem = name.removesuffix(".weight")
            packed |= dict(zip((name, f"{stem}.scales", f"{stem}.biases"), parts, strict=True))
            plain[name] = mx.dequantize(*parts, group_size=32, bits=8)
    settings = {"quantization": {"group_size": 32, "bits": 8}}
    quantized = write(tmp_path / "q", packed, lambda raw: {**nested(raw), **settings})
    unpacked = write(tmp_path / "p", plain, nested)
    plainly = answers(unpacked, mels, FEW)
    assert answers(quantized, mels, FEW) == plainly
    assert answers(quantized, mels, FEW, as_float32=True) == plainly


def test_names_of_the_encoder_s_sizes_may_be_transformers_own(tmp_path):
    def other(raw):
        audio = raw["audio_config"]
        audio["num_attention_heads"] = audio.pop("encoder_attention_heads")
        audio["hidden_size"] = audio.pop("d_model")
        return raw

    folder = write(tmp_path, arrays_of(FOLDER, "score."), other)
    assert config.read_aligner(folder) == config.read_aligner(FOLDER)


def test_a_head_with_a_bias_and_another_step(mels, tmp_path):
    arrays = arrays_of(FOLDER, "score.")
    bias = np.zeros(450, np.float32)
    bias[7] = 1e6
    arrays["score.bias"] = mx.array(bias)
    change = {"token_classification_bias": True, "timestamp_segment_time": 40}
    folder = write(tmp_path, arrays, lambda raw: {**raw, **change})
    assert config.read_aligner(folder).class_ms == 40
    assert set(answers(folder, mels, [1])[0]["classes"]) == {7}


def test_languages_may_be_named_by_the_folder(tmp_path):
    folder = write(tmp_path, {}, lambda raw: {**raw, "support_languages": ["English", "Thai"]})
    assert config.read_aligner(folder).languages == ("English", "Thai")


def test_what_is_no_aligner_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no forced aligner"):
        weights.load_aligner(GOLDEN / "qwen3_asr")
    with pytest.raises(ValueError, match="forced aligner; it cannot transcribe"):
        weights.load(FOLDER)
    with pytest.raises(ValueError, match="cannot transcribe"):
        weights.load(write(tmp_path, {}, nested))
    folder = write(tmp_path, {}, lambda raw: {k: v for k, v in raw.items() if k != "id2label"})
    with pytest.raises(ValueError, match="how many points in time"):
        weights.load_aligner(folder)


def test_missing_heads_are_named(tmp_path):
    arrays = arrays_of(FOLDER, "score.")
    del arrays["score.weight"]
    with pytest.raises(ValueError, match=r"missing: score\.weight"):
        weights.load_aligner(write(tmp_path, arrays))
