from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ominix import locks
from ominix.errors import Conflict, ModelNotFound
from ominix.library import layouts
from ominix.library.catalog import Catalog
from ominix.library.folders import Folders
from ominix.library.names import id_for
from ominix.library.records import Records
from ominix.library.removal import delete

REVISIONS = ("a" * 40, "b" * 40)


def put(folder: Path, model_type: str = "llama") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "model.safetensors").write_bytes(b"12345")
    return folder


def cached(models: Path, owner: str, name: str, revisions=REVISIONS) -> Path:
    """As huggingface_hub's cache has it: snapshots of links into blobs."""
    root = models / f"models--{owner}--{name}"
    blobs = put(root / "blobs")
    for revision in revisions:
        (root / "snapshots" / revision).mkdir(parents=True)
        for file in blobs.iterdir():
            (root / "snapshots" / revision / file.name).symlink_to(f"../../blobs/{file.name}")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(REVISIONS[0])
    return root


@pytest.fixture
def home(tmp_path):
    models = tmp_path / "home" / "models"
    put(models / "plain")
    put(models / "lmstudio-community" / "Llama-MLX")
    put(models / "lmstudio-community" / "asr", "qwen3_asr")
    (models / "lmstudio-community" / "only-gguf").mkdir()
    (models / "empty").mkdir()
    cached(models, "mlx-community", "Qwen3-0.6B-4bit")
    return tmp_path / "home"


def gone(home: Path, name: str) -> None:
    delete(name, Folders(home), Records(home))


def test_models_of_other_programs_have_their_owners_in_their_ids(home):
    models = {model.id: model for model in Catalog(home / "models").models()}
    assert {name for name, model in models.items() if model.engine} == {
        "plain", "lmstudio-community/Llama-MLX", "lmstudio-community/asr", "mlx-community/Qwen3-0.6B-4bit",
    }  # fmt: skip
    assert set(models) - {name for name, model in models.items() if model.engine} == {"empty"}
    assert models["lmstudio-community/asr"].owned_by == "lmstudio-community"
    assert models["plain"].owned_by == "local"
    hub = models["mlx-community/Qwen3-0.6B-4bit"]
    assert (hub.path.name, hub.size_bytes) == (REVISIONS[0], models["plain"].size_bytes)


@pytest.mark.parametrize(
    "name", ["plain", "lmstudio-community/Llama-MLX", "mlx-community/Qwen3-0.6B-4bit", "someone/plain"]
)
def test_requests_find_them(home, name):
    assert Catalog(home / "models").able(name, "chat").id in (name, "plain")


@pytest.mark.parametrize(
    "name", ["lmstudio-community", "mlx-community", "lmstudio-community/only-gguf", "plain/x"]
)
def test_an_owner_is_no_model(home, name):
    with pytest.raises(ModelNotFound):
        Catalog(home / "models").get(name)


def test_what_is_added_and_taken_away_is_seen(home):
    catalog = Catalog(home / "models")
    assert len(catalog.models()) == 5
    folder = put(home / "models" / "lmstudio-community" / "more")
    assert catalog.get("lmstudio-community/more").path == folder
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFound):
        catalog.get("lmstudio-community/more")


def test_a_snapshot_in_use_comes_before_the_newest(home):
    root = home / "models" / "models--mlx-community--Qwen3-0.6B-4bit"
    for number, revision in enumerate(REVISIONS):
        os.utime(root / "snapshots" / revision, (number, number))
    assert layouts.served(root).name == REVISIONS[0]
    for main in ("../../../plain", "\xff", "c" * 40):
        (root / "refs" / "main").write_text(main, "latin-1")
        assert layouts.served(root).name == REVISIONS[1]


def test_they_are_deleted_whole_and_alone(home):
    gone(home, "lmstudio-community/asr")
    assert (home / "models" / "lmstudio-community" / "Llama-MLX" / "config.json").exists()
    assert not (home / "models" / "lmstudio-community" / "asr").exists()
    gone(home, "mlx-community/Qwen3-0.6B-4bit")
    assert not (home / "models" / "models--mlx-community--Qwen3-0.6B-4bit").exists()
    (home / "models" / "lmstudio-community" / "only-gguf").rmdir()
    gone(home, "lmstudio-community/Llama-MLX")
    assert sorted(p.name for p in (home / "models").iterdir() if p.name[0] != ".") == ["empty", "plain"]


@pytest.mark.parametrize(
    "name", ["plain/..", "lmstudio-community/../plain", "lmstudio-community/.", "lmstudio-community/",
             "/plain", "a/b/c", "plain/sub", "lmstudio-community/only-gguf", "../home/models"],
)  # fmt: skip
def test_ids_that_climb_or_name_parts_delete_nothing(home, name):
    (home / "models" / "plain" / "sub").mkdir()
    with pytest.raises(ModelNotFound):
        gone(home, name)
    assert (home / "models" / "plain" / "sub").exists()
    assert (home / "models" / "lmstudio-community" / "only-gguf").exists()


def test_what_lies_behind_a_link_stays(home, tmp_path):
    """The link of a model goes, as everywhere; what an owner's link leads to is not ours to delete."""
    target = put(tmp_path / "elsewhere" / "model")
    (home / "models" / "linked").symlink_to(tmp_path / "elsewhere")
    (home / "models" / "lmstudio-community" / "link").symlink_to(target)
    assert Catalog(home / "models").get("linked/model").path == home / "models" / "linked" / "model"
    with pytest.raises(Conflict, match="behind the link 'linked'"):
        gone(home, "linked/model")
    gone(home, "lmstudio-community/link")
    assert (target / "config.json").exists()
    assert not (home / "models" / "lmstudio-community" / "link").is_symlink()


@pytest.mark.parametrize("name", ["lmstudio-community/asr", "mlx-community/Qwen3-0.6B-4bit"])
def test_one_that_a_worker_holds_stays(home, name):
    path = Catalog(home / "models").get(name).path
    with locks.held(path, shared=True), pytest.raises(Conflict, match="unload"):
        assert Folders(home).in_use(name)
        gone(home, name)
    gone(home, name)


def test_a_download_of_one_knows_that_it_is_here(home):
    folders = Folders(home)
    for name in ("lmstudio-community/asr", "mlx-community/Qwen3-0.6B-4bit"):
        assert id_for(name, {}, folders) == name
    assert id_for("x/lmstudio-community", {}, folders) == "x--lmstudio-community"
    assert id_for("lmstudio-community/only-gguf", {}, folders) == "only-gguf"


@pytest.mark.parametrize("word", ["downloads", "load"])
def test_ids_that_could_not_be_asked_for_are_not_made(home, word):
    put(home / "models" / word / "a")
    put(home / "models" / "owner" / word)
    assert not {f"{word}/a", f"owner/{word}"} & {m.id for m in Catalog(home / "models").models()}
