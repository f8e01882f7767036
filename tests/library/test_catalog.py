from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from ominix.api.models import model_object
from ominix.errors import Conflict, InvalidRequest, ModelNotFound, Unavailable
from ominix.families.family import Family
from ominix.families.table import FAMILIES, KNOWN, Families
from ominix.http import schemas
from ominix.http.answers import json_bytes
from ominix.library import checkpoint, removal
from ominix.library.catalog import Catalog
from ominix.library.folders import Folders
from ominix.library.model import Model
from ominix.library.records import Records
from ominix.wire.jobs import Helper


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
    assert {name for name, m in models.items() if m.engine} == {
        "llama",
        "MiniCPM-SALA-9B-8bit",
        "Qwen3-ASR-0.6B",
    }
    for name in ("strange", "typeless", "no-weights", "no-json", "deep", "list", "empty"):
        assert models[name].trouble, name
    assert not {".hidden", "file", "dangling"} & models.keys()


@pytest.mark.parametrize("text", ['{"top_k": 20}', "{", "[]", "[" * 100_000, ""])
def test_a_model_s_own_settings_are_shown_and_break_nothing(folder, text):
    (folder / "llama" / "generation_config.json").write_text(text)
    llama = Catalog(folder).get("llama")
    assert llama.trouble is None
    shown = model_object(llama, loaded=False)
    assert shown["sampling_defaults"] == {
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": 20 if "20" in text else 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_tokens": 2048,
    }
    assert schemas.mismatch("model", shown) is None
    assert "sampling_defaults" not in model_object(Catalog(folder).get("Qwen3-ASR-0.6B"), loaded=False)


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
    with pytest.raises(ModelNotFound, match=r"Models here for chat: MiniCPM-SALA-9B-8bit, llama\."):
        Catalog(folder).able(name, "chat")


def test_a_model_for_another_task_is_refused(folder):
    with pytest.raises(InvalidRequest, match="is a speech model"):
        Catalog(folder).able("qwen3-asr", "chat")
    with pytest.raises(InvalidRequest, match="cannot be served"):
        Catalog(folder).able("no-weights", "chat")


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


def helper(catalog: Catalog, model: Model) -> str:
    found = catalog.helpers_for(model, {"words"})["words"]
    assert found.package == "qwen3_asr"
    return Path(found.path).name


def test_which_aligner_times_words(aligners):
    own = sorted((aligners / "own").iterdir())
    catalog = Catalog(aligners / "models", embedded=own)
    assert helper(catalog, catalog.get("asr")) == "a-aligner"
    assert helper(catalog, catalog.get("tiny-asr")) == "a-aligner"
    chosen = Catalog(aligners / "models", {"qwen3-forced-aligner": "b-aligner"}, embedded=own)
    assert helper(chosen, chosen.get("asr")) == "b-aligner"
    (aligners / "models" / "a-aligner" / "model.safetensors").unlink()
    assert helper(catalog, catalog.get("asr")) == "b-aligner"


def test_the_aligner_that_comes_along_is_for_the_speech_model_that_does(aligners):
    catalog = Catalog(aligners / "none", embedded=sorted((aligners / "own").iterdir()))
    assert helper(catalog, catalog.get("tiny-asr")) == "tiny-aligner"
    with pytest.raises(InvalidRequest, match="ominix pull qwen3-forced-aligner") as caught:
        helper(catalog, Catalog(aligners / "models").get("asr"))
    assert caught.value.param == "timestamp_granularities"


def test_an_aligner_serves_no_requests_of_its_own(aligners):
    catalog = Catalog(aligners / "models")
    aligner = catalog.get("a-aligner")
    assert (aligner.engine, aligner.trouble) == ("", None)
    with pytest.raises(InvalidRequest, match="an aligner model; this endpoint needs a speech model"):
        catalog.able("a-aligner", "transcribe")
    with pytest.raises(Conflict, match="is not loaded by itself: it gives words their times"):
        catalog.able("a-aligner", "align")


def test_no_helper_is_looked_for_where_none_is_wanted(aligners):
    catalog = Catalog(aligners / "none")
    assert catalog.helpers_for(Catalog(aligners / "models").get("asr"), set()) == {}


def test_scripted_models_help_each_other_alone(aligners):
    catalog = Catalog(aligners / "models", scripted=True)
    assert catalog.helpers_for(catalog.get("scripted-speech"), {"words"}) == {"words": Helper("", ".")}
    assert helper(catalog, catalog.get("asr")) == "a-aligner"


@pytest.mark.parametrize(
    ("config", "task", "abilities"),
    [
        ({"model_type": "llama"}, "chat", {"chat"}),
        ({"model_type": "qwen3_asr"}, "speech", {"transcribe"}),
        ({"model_type": "qwen3_forced_aligner"}, "aligner", {"align"}),
        ({"model_type": "none such"}, "unknown", set()),
    ],
)
def test_abilities_and_task_are_the_family_s(tmp_path, config, task, abilities):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    (tmp_path / "m" / "model.safetensors").write_bytes(b"12345")
    model = Catalog(tmp_path).get("m")
    assert (model.task, model.abilities) == (task, abilities)


def test_a_toy_family_is_served_like_any_other(tmp_path):
    toy = Family(
        frozenset({"chat"}),
        frozenset({"toy"}),
        engine="text",
        package="toy",
        aliases={"t": "a/toy"},
        names=re.compile("toy.*"),
    )
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"model_type": "toy"}')
    (tmp_path / "m" / "model.safetensors").write_bytes(b"12345")
    catalog = Catalog(tmp_path, families=KNOWN.with_more([toy]))
    assert catalog.able("Toy-7B", "chat").id == "m"
    assert catalog.repository("t") == "a/toy"


BROKEN = {
    "long-type": '{"model_type": "%s"}' % ("x" * 300),
    "huge-type": '{"model_type": "%s"}' % ("x" * 100_000),
    "list-type": '{"model_type": ["llama"]}',
    "zero-type": '{"model_type": "llama\\u0000"}',
    "half-pair": '{"model_type": "\\ud800"}',
    "true-bits": '{"model_type": 5, "quantization": {"bits": true, "group_size": 64}}',
    "long-bits": '{"model_type": "\\ud800", "quantization": {"bits": 1%s, "group_size": 64}}' % ("0" * 4000),
    "nan": '{"model_type": NaN}',
    "digits": '{"model_type": 1%s}' % ("0" * 5000),
    "not-utf8": b'{"model_type": "\xff"}',
    "nul": b"\0" * 1000,
    "large": b"[" + b" " * (5 << 20) + b"]",
}


@pytest.fixture
def broken(folder):
    """Beside good models, folders as no one would make them."""
    for name, config in BROKEN.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_bytes(config if isinstance(config, bytes) else config.encode())
        (folder / name / "model.safetensors").write_bytes(b"12345")
    (folder / "folder-config" / "config.json").mkdir(parents=True)
    for name, target in (
        ("pipe-config", None),
        ("device-config", "/dev/zero"),
        ("loop-config", "config.json"),
    ):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(b"12345")
        config = folder / name / "config.json"
        config.symlink_to(target) if target else os.mkfifo(config)
    Path(os.fsdecode(os.fsencode(folder) + b"/not-utf8-\xff")).mkdir()
    (folder / "line\nend").mkdir()
    (folder / "long-link").symlink_to("x" * 300)
    (folder / "loop").symlink_to("loop")
    (folder / "old").mkdir()
    os.utime(folder / "old", (-5, -5))
    return folder


UNWRITABLE = {"not-utf8-\\xff": os.fsdecode(b"not-utf8-\xff"), "line\\x0aend": "line\nend"}


@pytest.mark.contract("models.broken-folder")
def test_a_broken_folder_fails_alone(broken):
    """A model type of 300 letters, or a link to a name that long, made the whole list empty or a 500."""
    catalog = Catalog(broken)
    models = {model.id: model for model in catalog.models()}
    assert catalog.able("llama", "chat").id == "llama"
    configs = ("folder-config", "pipe-config", "device-config", "loop-config")
    for name in (*BROKEN, *configs, *UNWRITABLE, "old"):
        trouble = models[name].trouble
        assert trouble, name
        assert len(trouble) < 150
        with pytest.raises(InvalidRequest, match="cannot be served"):
            catalog.able(name, "chat") if models[name].abilities else catalog.servable(models[name])
        body = model_object(models[name], loaded=False)
        assert schemas.mismatch("model", body) is None
        assert json.loads(json_bytes(body))["id"] == name


def test_whatever_fails_while_a_folder_is_read_breaks_its_own_entry(folder):
    class Careless(Family):
        def claims(self, config):
            return bool(config["model_type"] + "")  # a KeyError, a TypeError

    catalog = Catalog(folder, families=KNOWN.with_more([Careless(frozenset({"chat"}))]))
    models = {model.id: model for model in catalog.models()}
    assert models["llama"].trouble is None
    assert models["typeless"].trouble == "it cannot be read (KeyError)"


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_has_a_name_that_cannot_be_written_can_be_deleted(broken, tmp_path, name):
    catalog, folders = Catalog(broken), Folders(tmp_path / "home")
    for asked in (name, UNWRITABLE[name]):  # as it is listed, and as a shell gives it
        assert catalog.exact(asked).folder_name == UNWRITABLE[name]
    folders.models.parent.mkdir()
    folders.models.symlink_to(broken)
    removal.delete(catalog.exact(name).folder_name, folders, Records(tmp_path / "home"))
    assert name not in {model.id for model in catalog.models()}


@pytest.mark.parametrize(
    ("suffix", "count", "trouble"),
    [
        (".safetensors", checkpoint.MAX_WEIGHT_FILES, "it has more than 1,000 files of weights"),
        pytest.param("", checkpoint.MAX_FILES, "it holds more than 10,000 files", marks=pytest.mark.slow),
    ],
)
def test_a_folder_has_so_many_files_and_no_more(tmp_path, suffix, count, trouble):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"model_type": "llama"}')
    for n in range(count + 1):
        (tmp_path / "m" / f"{n}{suffix}").touch()
    assert Catalog(tmp_path).get("m").trouble == trouble


def test_one_name_is_found_without_a_look_at_the_others(folder):
    """2,000 folders made each chat wait for 1.4 s."""
    read = []

    class Noting(Family):
        def claims(self, config):
            read.append(config)
            return False

    catalog = Catalog(folder, families=Families([Noting(frozenset()), *FAMILIES]))
    assert catalog.get("llama").id == "llama"
    assert len(read) == 1
