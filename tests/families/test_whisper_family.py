from __future__ import annotations

import pytest

from ominix.families import whisper
from ominix.families.table import KNOWN

MLX = {"n_mels": 80, "n_audio_layer": 6, "n_text_layer": 6, "n_vocab": 51865}
HUGGING_FACE = {"model_type": "whisper", "encoder_layers": 6, "decoder_layers": 6, "vocab_size": 51865}
CT2 = {"suppress_ids": [1], "suppress_ids_begin": [220], "lang_ids": [50259], "alignment_heads": [[0, 1]]}


@pytest.mark.parametrize(
    ("config", "family"),
    [
        (HUGGING_FACE, whisper.TRANSLATOR),
        (
            {**HUGGING_FACE, "encoder_layers": 32, "decoder_layers": 4, "vocab_size": 51866},
            whisper.TRANSCRIBER,
        ),
        ({**HUGGING_FACE, "vocab_size": 51864}, whisper.ENGLISH),
        ({**MLX, "n_vocab": 51864}, whisper.ENGLISH),
        (MLX, whisper.TRANSLATOR),
        ({**MLX, "model_type": "whisper"}, whisper.TRANSLATOR),
        ({**MLX, "n_text_layer": 2}, whisper.TRANSCRIBER),  # distil
        ({**MLX, "n_vocab": "many"}, whisper.TRANSCRIBER),
        (CT2, whisper.TRANSCRIBER),  # its sizes are not known
        ({"model_type": "whisper"}, whisper.TRANSCRIBER),
    ],
)
def test_every_layout_is_known_and_who_translates(config, family):
    assert KNOWN.claiming(config) is family


@pytest.mark.parametrize("config", [{}, {"n_mels": 80}, {"suppress_ids": []}, {**MLX, "model_type": "llama"}])
def test_other_models_are_none(config):
    assert not whisper.TRANSLATOR.claims(config)
    assert not whisper.TRANSCRIBER.claims(config)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model.safetensors", True),
        ("model-00001-of-00002.safetensors", True),
        ("weights.npz", True),
        ("weights.safetensors", True),
        ("model.bin", True),
        ("pytorch_model.bin", False),
        ("base.pt", False),
        ("flax_model.msgpack", False),
    ],
)
def test_a_download_fetches_weights_of_every_layout_but_no_pickles(name, wanted):
    assert bool(whisper.TRANSLATOR.files.weights.fullmatch(name)) is wanted


def test_its_short_names_pull_whisper_models():
    names = {**whisper.TRANSLATOR.aliases, **whisper.TRANSCRIBER.aliases, **whisper.ENGLISH.aliases}
    assert {"whisper-base", "whisper-large-v3-turbo"} <= set(names)
    assert all("whisper" in repository for repository in names.values())
