from __future__ import annotations

import json

import pytest

from ominix.catalog import Catalog
from ominix.errors import InvalidRequest, ModelNotFound


@pytest.fixture
def folder(tmp_path):
    def model(name: str, config, weights: bytes | None = b"12345"):
        path = tmp_path / name
        path.mkdir()
        (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        if weights:
            (path / "model.safetensors").write_bytes(weights)

    model("llama", {"model_type": "llama", "quantization": {"bits": 4, "group_size": 32}})
    model("MiniCPM-SALA-9B-8bit", {"model_type": "minicpm_sala"})
    model("Qwen3-ASR-0.6B", {"model_type": "qwen3_asr"})
    model("strange", {"model_type": "../../etc/passwd"})
    model("typeless", {})
    model("no-weights", {"model_type": "llama"}, weights=None)
    model("no-json", "{")
    model("deep", "[" * 100_000)
    model("list", "[]")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


def test_broken_folders_are_listed_with_their_trouble(folder):
    models = {model.id: model for model in Catalog(folder).models()}
    assert {name for name, m in models.items() if m.kind} == {
        "llama",
        "MiniCPM-SALA-9B-8bit",
        "Qwen3-ASR-0.6B",
    }
    for name in ("strange", "typeless", "no-weights", "no-json", "deep", "list", "empty"):
        assert models[name].trouble, name
    assert not {".hidden", "file", "dangling"} & models.keys()


def test_metadata_comes_from_config_and_sizes(folder):
    llama = Catalog(folder).get("llama")
    assert llama.quantization == (4, 32)
    assert llama.size_bytes == 5 + (folder / "llama" / "config.json").stat().st_size
    assert llama.created > 0


def test_no_folder_is_no_error(tmp_path):
    assert Catalog(tmp_path / "none").models() == []


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("llama", "llama"),
        ("someone/llama", "llama"),
        ("whisper-1", "Qwen3-ASR-0.6B"),
        ("gpt-4o-transcribe", "Qwen3-ASR-0.6B"),
        ("qwen3-asr", "Qwen3-ASR-0.6B"),
        ("minicpm-sala-9b", "MiniCPM-SALA-9B-8bit"),
        ("gpt-4", "llama"),
    ],
)
def test_names_find_their_model(folder, name, model_id):
    assert Catalog(folder, {"gpt-4": "llama"}).get(name).id == model_id


@pytest.mark.parametrize("name", ["", "LLAMA", "nope", "../llama/..", ".hidden", "\x00"])
def test_unknown_names_are_told_what_is_there(folder, name):
    with pytest.raises(ModelNotFound, match=r"Models here: .*llama"):
        Catalog(folder).get(name)


def test_a_model_for_another_task_is_refused(folder):
    with pytest.raises(InvalidRequest, match="is a speech model"):
        Catalog(folder).for_task("qwen3-asr", "chat")
    with pytest.raises(InvalidRequest, match="cannot be served"):
        Catalog(folder).for_task("no-weights", "chat")
