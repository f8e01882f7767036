from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ominix import locks
from ominix.errors import Conflict, InvalidRequest, ModelNotFound
from ominix.library.folders import Folders
from ominix.library.names import RESERVED, checked_repo_id, id_for
from ominix.library.records import DownloadRecord, Records
from ominix.library.removal import delete


@pytest.fixture
def home(tmp_path):
    """A store with one model, and things around it that must survive whatever is deleted."""
    home = tmp_path / "home"
    (home / "models" / "tiny").mkdir(parents=True)
    (home / "models" / "tiny" / "config.json").write_text("{}")
    (home / "precious").mkdir()
    (home / "precious" / "file").write_text("precious")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("precious")
    return home


def gone(home, name: str) -> None:
    delete(name, Folders(home), Records(home))


def precious(home) -> bool:
    files = (home / "precious" / "file", home.parent / "elsewhere" / "file")
    return all(file.read_text() == "precious" for file in files)


def test_a_model_goes_with_its_record(home):
    Records(home).put("tiny", repo_id="a/tiny", state="ready")
    gone(home, "tiny")
    assert not (home / "models" / "tiny").exists()
    assert Records(home).all() == {}
    assert not list((home / "models" / ".trash").iterdir())


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../precious", "../../elsewhere", "/", ".trash", ".downloads", "tiny/..", "a\0b", "file"],
)
def test_ids_that_climb_or_are_none_delete_nothing(home, name):
    (home / "models" / "file").write_text("not a model")
    os.mkfifo(home / "models" / "pipe")
    for wanted in (name, name.replace("/", os.sep), "pipe", str(home / "precious")):
        with pytest.raises(ModelNotFound):
            gone(home, wanted)
    assert precious(home)
    assert {p.name for p in (home / "models").iterdir()} >= {"tiny", "file", "pipe"}


def test_a_link_goes_and_not_its_target(home):
    (home / "models" / "linked").symlink_to(home.parent / "elsewhere")
    gone(home, "linked")
    assert not (home / "models" / "linked").is_symlink()
    assert not list((home / "models" / ".trash").iterdir())
    assert precious(home)


def test_links_and_pipes_inside_a_model_are_not_followed(home):
    model = home / "models" / "tiny"
    (model / "out").symlink_to(home.parent / "elsewhere")
    (model / "file").symlink_to(home / "precious" / "file")
    os.link(home / "precious" / "file", model / "hard")
    os.mkfifo(model / "pipe")
    gone(home, "tiny")
    assert precious(home)


def test_a_record_with_a_hostile_name_deletes_nothing(home):
    Records(home).put("../../elsewhere", repo_id="a/b", state="failed")
    with pytest.raises(ModelNotFound):
        gone(home, "../../elsewhere")
    assert precious(home)


def test_a_model_that_a_worker_holds_stays(home):
    with locks.held(home / "models" / "tiny", shared=True), pytest.raises(Conflict, match="unload"):
        gone(home, "tiny")
    gone(home, "tiny")


def test_a_running_download_stays(home):
    partial = Folders(home).partial("new")
    partial.mkdir(parents=True)
    Records(home).put("new", repo_id="a/new", state="downloading")
    with locks.held(partial), pytest.raises(Conflict, match="stop that first"):
        gone(home, "new")
    gone(home, "new")
    assert not partial.exists()


def test_what_a_killed_deletion_left_is_swept(home):
    folders = Folders(home)
    folders.retire("tiny")
    assert list((home / "models" / ".trash").iterdir())
    folders.sweep()
    assert not list((home / "models" / ".trash").iterdir())


def test_nothing_is_published_over_something_else(home):
    folders = Folders(home)
    folders.partial("tiny").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        folders.publish("tiny")
    assert (home / "models" / "tiny" / "config.json").exists()


def test_ids_are_names_and_stay_apart(home):
    folders = Folders(home)
    known = {"large": DownloadRecord("a/large", "ready")}

    def id_of(repo_id: str) -> str:
        model_id = id_for(repo_id, known, folders)
        known[model_id] = DownloadRecord(repo_id, "downloading")
        return model_id

    assert id_of("a/large") == "large"
    assert id_of("A/Large") == "large"  # the hub does not tell them apart
    assert id_of("b/large") == "b--large"
    assert id_of("b/large") == "b--large"
    assert id_of("c/Large") == "c--Large"  # some disks do not tell Large from large
    assert id_of("b/tiny") == "tiny"  # put here by hand
    for word in RESERVED:
        assert id_of(f"a/{word}") == f"a--{word}"


@pytest.mark.parametrize(
    "repo_id",
    [
        "",
        "tiny",
        "a/",
        "/b",
        "a/b/c",
        "../b",
        "a/..",
        "a/.b",
        "a/b.",
        "a b/c",
        "a/b\n",
        "a/b--c",
        "ä/b",
        "a/" + "b" * 97,
    ],
)
def test_what_is_no_repository_is_refused(repo_id):
    with pytest.raises(InvalidRequest, match="is not a repository"):
        checked_repo_id(repo_id)


def test_what_the_server_imports_leaves_the_hub_s_library_out():
    code = (
        "import sys, ominix.cli.serve, ominix.cli.list, ominix.cli.rm; "
        "assert not {'huggingface_hub', 'httpx2', 'tqdm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
