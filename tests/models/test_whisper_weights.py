"""Folders that are no Whisper model, or a broken one, are refused with the reason."""

from __future__ import annotations

import json
import pickle

import mlx.core as mx
import numpy as np
import pytest
import whisper_folders as folders

from ominix.models.whisper import weights


def refusal(folder) -> str:
    with pytest.raises(ValueError) as error:
        weights.load(folder)
    return str(error.value)


def test_missing_surplus_and_misshapen_weights_are_named(tmp_path):
    arrays = folders.original()
    arrays["model.decoder.layers.7.fc1.weight"] = arrays.pop("model.decoder.layers.1.fc1.weight")
    arrays["model.encoder.conv1.bias"] = mx.zeros((5,))
    said = refusal(folders.hugging_face(tmp_path, arrays))
    assert "missing: decoder.blocks.1.mlp1.weight" in said
    assert "surplus: decoder.blocks.7.mlp1.weight" in said
    assert "misshapen: encoder.conv1.bias (5,) instead of (32,)" in said


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path):
    folders.write_config(tmp_path, {"model_type": "whisper"})
    (tmp_path / "base.pt").write_bytes(pickle.dumps({}))
    said = refusal(tmp_path)
    assert "pickle" in said and "convert" in said


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_inside_an_npz_is_not_run(tmp_path):
    folder, sprung = folders.mlx_npz(tmp_path / "model"), tmp_path / "sprung"
    trapped = np.array([Trap(str(sprung))], dtype=object)
    np.savez(folder / "weights.npz", **{"encoder.conv1.bias": trapped})
    assert "weights.npz" in refusal(folder)
    assert not sprung.exists()


def test_a_folder_without_weights_or_config_is_refused(tmp_path):
    assert "no weights" in refusal(folders.write_config(tmp_path / "a", {}))
    folder = folders.hugging_face(tmp_path / "b")
    (folder / "config.json").unlink()
    assert "config.json is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "qwen3"}, "model_type is 'qwen3'"),
        ({"vocab_size": None}, "n_vocab"),
        ({"encoder_layers": -1}, "n_audio_layer"),
        ({"encoder_layers": "2"}, "n_audio_layer"),
        ({"decoder_layers": 10**9}, "n_text_layer"),
    ],
)
def test_a_config_that_describes_something_else_is_refused(tmp_path, change, said):
    folder = folders.hugging_face(tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    folders.write_config(folder, raw | change)
    assert said in refusal(folder)


def test_a_config_without_a_size_says_which(tmp_path):
    folder = folders.hugging_face(tmp_path)
    raw = json.loads((folder / "config.json").read_text())
    del raw["d_model"]
    folders.write_config(folder, raw)
    assert "does not say n_audio_state, n_text_state" in refusal(folder)


def test_alignment_heads_come_from_weights_or_configs(tmp_path):
    assert weights.load(folders.mlx_npz(tmp_path / "a")).config.alignment_heads == ((1, 0), (1, 1))
    folder = folders.hugging_face(tmp_path / "b")
    assert weights.load(folder).config.alignment_heads == ()
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": [[0, 1]]}))
    assert weights.load(folder).config.alignment_heads == ((0, 1),)
    assert weights.load(folders.ct2(tmp_path / "c")).config.alignment_heads == ((1, 0),)


def test_models_with_a_short_decoder_cannot_translate(tmp_path):
    config = weights.load(folders.hugging_face(tmp_path)).config
    assert not config.translates  # 240 tokens: no language is among them
    turbo = type(config)(n_audio_layer=32, n_text_layer=4, n_vocab=51866)
    assert not turbo.translates
    assert type(config)().translates
