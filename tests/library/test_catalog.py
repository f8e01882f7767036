from __future__ import annotations

import json

import pytest

from ominix.errors import Conflict, InvalidRequest, ModelNotFound, Unavailable
from ominix.library.catalog import Catalog
from ominix.library.records import Records


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


@pytest.mark.contract("models.broken-folder")
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


def test_what_changes_in_a_folder_is_seen(folder):
    catalog = Catalog(folder)
    before = catalog.get("llama")
    (folder / "llama" / "config.json").write_text(json.dumps({"model_type": "qwen3_asr"}))
    (folder / "llama" / "model.safetensors").write_bytes(b"123456789")
    after = catalog.get("llama")
    assert (before.task, after.task) == ("chat", "speech")
    assert after.size_bytes == 9 + (folder / "llama" / "config.json").stat().st_size
    (folder / "llama" / "model.safetensors").unlink()
    assert "safetensors" in (catalog.get("llama").trouble or "")


def test_no_folder_is_no_error(tmp_path):
    assert Catalog(tmp_path / "none").models() == []


@pytest.mark.contract("models.aliases")
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


@pytest.mark.contract("models.unknown")
@pytest.mark.parametrize(
    "name", ["", "LLAMA", "nope", "../llama/..", ".hidden", "\x00", "../x/llama", "a/b/llama"]
)
def test_unknown_names_are_told_what_is_there(folder, name):
    with pytest.raises(ModelNotFound, match=r"Models here: .*llama"):
        Catalog(folder).get(name)


def test_a_model_for_another_task_is_refused(folder):
    with pytest.raises(InvalidRequest, match="is a speech model"):
        Catalog(folder).for_task("qwen3-asr", "chat")
    with pytest.raises(InvalidRequest, match="cannot be served"):
        Catalog(folder).for_task("no-weights", "chat")


def test_downloads_say_where_models_come_from(folder, tmp_path):
    records = Records(tmp_path / "home")
    records.put("llama", repo_id="meta/llama", state="ready", downloaded_at=1_700_000_000)
    catalog = Catalog(folder, records=records)
    llama = catalog.get("meta/llama")
    assert (llama.id, llama.owned_by, llama.repo_id) == ("llama", "meta", "meta/llama")
    assert llama.downloaded_at == "1700000000"
    assert catalog.get("Qwen3-ASR-0.6B").owned_by == "local"
    with pytest.raises(ModelNotFound):
        catalog.get("someone/llama")  # another owner's: never a silent substitute


def test_a_model_on_its_way_is_said_to_be(folder, tmp_path):
    records = Records(tmp_path / "home")
    records.put("new", repo_id="a/new", state="downloading")
    for name in ("new", "a/new"):
        with pytest.raises(Unavailable, match="not downloaded yet"):
            Catalog(folder, records=records).get(name)


def test_short_names_stand_for_repositories(folder, tmp_path):
    catalog = Catalog(folder, {"mine": "me/llama"})
    assert catalog.repository("minicpm-sala-9b") == "moxin-org/MiniCPM4-SALA-9B-8bit-mlx"
    assert catalog.repository("mine") == "me/llama"
    assert catalog.repository("a/b") == "a/b"
    assert catalog.get("mine").id == "llama"
    assert catalog.exact("mine").id == "llama"


@pytest.mark.parametrize("name", ["whisper-1", "minicpm-sala", "LLAMA"])
def test_a_kind_of_model_is_no_exact_name(folder, name):
    with pytest.raises(ModelNotFound):
        Catalog(folder).exact(name)


@pytest.fixture
def aligners(tmp_path):
    """Two installed aligners, and what comes with the package."""

    def model(path, config):
        path.mkdir(parents=True)
        (path / "config.json").write_text(json.dumps(config))
        (path / "model.safetensors").write_bytes(b"12345")

    aligner = {"model_type": "qwen3_asr", "thinker_config": {"classify_num": 5000}}
    model(tmp_path / "models" / "asr", {"model_type": "qwen3_asr"})
    model(tmp_path / "models" / "b-aligner", aligner)
    model(tmp_path / "models" / "a-aligner", aligner)
    model(tmp_path / "own" / "tiny-asr", {"model_type": "qwen3_asr"})
    model(tmp_path / "own" / "tiny-aligner", aligner)
    return tmp_path


def test_which_aligner_times_words(aligners):
    own = sorted((aligners / "own").iterdir())
    catalog = Catalog(aligners / "models", embedded=own)
    assert catalog.aligner_for(catalog.get("asr")).id == "a-aligner"
    assert catalog.aligner_for(catalog.get("tiny-asr")).id == "a-aligner"
    chosen = Catalog(aligners / "models", {"qwen3-forced-aligner": "b-aligner"}, embedded=own)
    assert chosen.aligner_for(chosen.get("asr")).id == "b-aligner"
    (aligners / "models" / "a-aligner" / "model.safetensors").unlink()
    assert catalog.aligner_for(catalog.get("asr")).id == "b-aligner"


def test_the_aligner_that_comes_along_is_for_the_speech_model_that_does(aligners):
    catalog = Catalog(aligners / "none", embedded=sorted((aligners / "own").iterdir()))
    assert catalog.aligner_for(catalog.get("whisper-1")).id == "tiny-aligner"
    with pytest.raises(InvalidRequest, match="ominix pull qwen3-forced-aligner") as caught:
        catalog.aligner_for(Catalog(aligners / "models").get("asr"))
    assert caught.value.param == "timestamp_granularities"


def test_an_aligner_serves_no_requests_of_its_own(aligners):
    catalog = Catalog(aligners / "models")
    aligner = catalog.get("a-aligner")
    assert (aligner.kind, aligner.trouble) == ("", None)
    with pytest.raises(InvalidRequest, match="an aligner model; this endpoint needs a speech model"):
        catalog.for_task("a-aligner", "speech")
    with pytest.raises(Conflict, match="is not loaded by itself: it gives words their times"):
        catalog.for_task("a-aligner", "aligner")
