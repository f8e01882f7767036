"""Downloads from a real hub on loopback, in this process: every file's way, and what goes wrong on it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time

import pytest
from hub import model_files

from ominix import locks
from ominix.errors import DownloadFailed
from ominix.library.fetch.download import Fetch
from ominix.library.fetch.hub import Hub
from ominix.library.folders import Folders
from ominix.library.records import Records

pytestmark = pytest.mark.slow

SIZE = 200_000
WANTED = {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}
WEIGHTS = "model.safetensors"


@pytest.fixture
def fetch(hub, tmp_path):
    """Fetch a repository as `tiny`, in `tmp_path`; every pause between tries is short."""

    def run(repo_id: str = "a/tiny") -> None:
        Fetch(tmp_path, "tiny", Hub(repo_id, endpoint=hub.url, pauses_seconds=(0.01,) * 3)).run()

    return run


@pytest.fixture
def refused(fetch, tmp_path):
    def run() -> DownloadFailed:
        with pytest.raises(DownloadFailed) as caught:
            fetch()
        record = Records(tmp_path).all()["tiny"]
        assert (record.state, record.reason) == ("failed", caught.value.reason)
        assert not (tmp_path / "models" / "tiny").exists()
        return caught.value

    return run


def files_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def partial_of(tmp_path):
    (found,) = (tmp_path / "models" / ".downloads" / "tiny").glob("*.partial")
    return found


@pytest.mark.parametrize("shards", [1, 3])
def test_a_model_s_files_arrive_and_no_others(hub, fetch, tmp_path, shards):
    repo = hub.add("a/tiny", model_files(shards=shards))
    fetch()
    found = files_of(tmp_path / "models" / "tiny")
    weights = {name for name in repo.files if name.startswith("model") and not name.endswith(".py")}
    assert found == {name: repo.files[name] for name in WANTED | weights}
    record = Records(tmp_path).all()["tiny"]
    assert (record.state, record.repo_id, record.revision) == ("ready", "a/tiny", repo.revision)
    assert record.total_bytes == sum(map(len, found.values()))
    assert record.downloaded_at > 1_700_000_000
    assert not list((tmp_path / "models" / ".downloads").iterdir())


def test_a_connection_that_breaks_is_gone_on_with(hub, fetch, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [50_000, 0, 70_000]
    fetch()
    ranges = [seen.range for seen in hub.asked(WEIGHTS) if seen.host == "localhost"]
    assert ranges == ["bytes=0-", "bytes=50000-", "bytes=50000-", "bytes=120000-"]


def test_breaks_that_still_bring_bytes_never_end_it(hub, fetch):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [10_000] * 12
    fetch()


def test_what_is_there_is_not_fetched_again(hub, fetch, refused, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [150_000, 0, 0, 0]
    assert refused().reason == "offline"
    assert partial_of(tmp_path).stat().st_size == 150_000
    hub.seen.clear()
    fetch()
    assert [s.range for s in hub.asked(WEIGHTS) if s.host == "localhost"] == ["bytes=150000-"]
    assert not hub.asked("tokenizer.json")


def test_a_server_that_ignores_ranges_starts_over(hub, fetch, tmp_path):
    repo = hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [150_000]
    hub.faults.ignore_range = True
    fetch()
    assert len([seen for seen in hub.asked(WEIGHTS) if seen.host == "localhost"]) == 2
    assert files_of(tmp_path / "models" / "tiny")[WEIGHTS] == repo.files[WEIGHTS]


@pytest.mark.parametrize("shards", [1, 3])
def test_a_hub_whose_list_has_names_alone_is_asked_for_each_file(hub, fetch, tmp_path, shards):
    """Mirrors do so: every file counted as empty, and the download ended as corrupt."""
    repo = hub.add("a/tiny", model_files(SIZE, shards=shards))
    hub.faults.names_alone = True
    hub.faults.wrong[sorted(name for name in repo.files if name.endswith("safetensors"))[0]] = 1
    fetch()
    found = files_of(tmp_path / "models" / "tiny")
    assert all(found[name] == repo.files[name] for name in found)
    assert Records(tmp_path).all()["tiny"].total_bytes == sum(map(len, found.values()))
    assert not hub.asked("modeling_evil.py")


def test_a_hub_that_tells_no_sizes_at_all_works_without_a_total(hub, fetch, refused, tmp_path):
    repo = hub.add("a/tiny", model_files(SIZE))
    hub.faults.names_alone = hub.faults.bare = True
    hub.faults.cuts[WEIGHTS] = [150_000, 150_000]  # nobody but the file itself tells that it is torn
    assert refused().reason == "corrupt"
    hub.seen.clear()
    fetch()
    found = files_of(tmp_path / "models" / "tiny")
    assert all(found[name] == repo.files[name] for name in found)
    assert WEIGHTS in found
    assert Records(tmp_path).all()["tiny"].total_bytes is None
    assert not [seen for seen in hub.asked(WEIGHTS) if seen.range not in (None, "bytes=0-")]


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json"])
def test_a_wrong_byte_is_found_and_the_file_fetched_again(hub, fetch, tmp_path, name):
    repo = hub.add("a/tiny", model_files(SIZE))
    hub.faults.wrong[name] = 1
    fetch()
    assert files_of(tmp_path / "models" / "tiny")[name] == repo.files[name]


def test_bytes_that_stay_wrong_never_become_a_model(hub, refused, fetch):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.wrong[WEIGHTS] = 2
    assert refused().reason == "corrupt"
    fetch()  # the hub has come to its senses


def test_a_partial_file_that_was_changed_is_not_believed(hub, refused, fetch, tmp_path):
    repo = hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [150_000, 0, 0, 0]
    refused()
    with partial_of(tmp_path).open("r+b") as file:
        file.write(b"garbage")
    fetch()
    assert files_of(tmp_path / "models" / "tiny")[WEIGHTS] == repo.files[WEIGHTS]


def test_a_new_version_in_between_takes_nothing_of_the_old(hub, refused, fetch, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.cuts[WEIGHTS] = [150_000, 0, 0, 0]
    refused()
    (tmp_path / "models" / ".downloads" / "tiny" / "modeling.py").write_text("left by somebody")
    repo = hub.add("a/tiny", model_files(SIZE, seed=1, extra=1))
    fetch()
    found = files_of(tmp_path / "models" / "tiny")
    assert found == {name: repo.files[name] for name in WANTED | {WEIGHTS}}


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503, 429])
def test_passing_troubles_of_the_hub_are_waited_out(hub, fetch, status):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.statuses = {"list": [status], WEIGHTS: [status] * 2, "config.json": [status]}
    fetch()


def test_a_hub_that_stays_broken_is_named(hub, refused):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.statuses["list"] = [500] * 10
    failure = refused()
    assert (failure.reason, "500" in failure.message) == ("hub", True)


def test_an_unknown_repository_is_not_found(refused):
    failure = refused()
    assert failure.reason == "not_found"
    assert "a/tiny" in failure.message


def test_a_gated_repository_needs_a_token(hub, refused, fetch, monkeypatch):
    hub.add("a/tiny", model_files(SIZE), token="hf_secret")
    failure = refused()
    assert (failure.reason, "HF_TOKEN" in failure.message) == ("gated", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch()
    sent = {seen.host: seen.token for seen in hub.asked(WEIGHTS)[-2:]}
    assert sent == {"127.0.0.1": "hf_secret", "localhost": None}  # the CDN never sees the token


def test_a_hub_that_is_not_there_is_offline(tmp_path):
    with pytest.raises(DownloadFailed, match="cannot be reached") as caught:
        Fetch(tmp_path, "tiny", Hub("a/tiny", endpoint="http://127.0.0.1:1", pauses_seconds=())).run()
    assert caught.value.reason == "offline"
    for help_ in ("HTTPS_PROXY", "HF_ENDPOINT", "OMINIX_HOME/models"):
        assert help_ in caught.value.message


def test_a_hub_that_is_not_there_is_said_soon(tmp_path):
    begun = time.monotonic()
    with pytest.raises(DownloadFailed, match="cannot be reached"):
        Hub("a/tiny", endpoint="http://127.0.0.1:1", pauses_seconds=(0.1, 30.0)).listing()
    assert time.monotonic() - begun < 10


def test_a_model_that_cannot_fit_is_refused_before_its_weights(hub, refused, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    hub.faults.sizes[WEIGHTS] = shutil.disk_usage(tmp_path).total
    failure = refused()
    assert failure.reason == "no_space"
    assert "are free" in failure.message
    assert not hub.asked(WEIGHTS)


@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_what_it_has(hub, tmp_path):
    """The kernel's own refusal to write on, by a bound on the size of files: what a quota does."""
    hub.add("a/tiny", model_files(SIZE))
    command = [sys.executable, "-m", "ominix.library.fetch.download", str(tmp_path), "tiny", "a/tiny"]
    bound = 128 << 10

    def run(limit: int) -> list[dict]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        with process:
            return [json.loads(line) for line in process.stdout]

    last = run(bound)[-1]
    assert (last["state"], last["reason"]) == ("failed", "no_space")
    assert Records(tmp_path).all()["tiny"].reason == "no_space"
    assert partial_of(tmp_path).stat().st_size == bound
    assert run(resource.RLIM_INFINITY)[-1] == {"state": "ready"}


@pytest.mark.slow
def test_a_file_longer_than_listed_does_not_fill_the_disk(hub, refused, tmp_path):
    hub.add("a/tiny", model_files(40_000_000))
    hub.faults.sizes[WEIGHTS] = 1000
    assert refused().reason == "corrupt"
    assert hub.sent_bytes < 30_000_000  # in two tries; sockets hold a few millions


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config.json": None}, "not_a_model"),
        ({"config.json": b"[]"}, "not_a_model"),
        ({"config.json": b"[" * 100_000}, "not_a_model"),
        ({"tokenizer.json": None}, "not_a_model"),
        ({"tokenizer.json": None, "vocab.json": b"{}"}, "not_a_model"),
        ({WEIGHTS: None}, "not_a_model"),
        ({"config.json": b'{"model_type": "strange", "auto_map": {"AutoModel": "x.X"}}'}, "remote_code"),
        ({"config.json": b'{"model_type": "llama", "model_file": "x.py"}'}, "remote_code"),
    ],
)
def test_what_is_no_model_for_us_is_refused(hub, refused, change, reason):
    files = {**model_files(SIZE), **change}
    hub.add("a/tiny", {name: data for name, data in files.items() if data is not None})
    assert refused().reason == reason
    assert not hub.asked(WEIGHTS)
    assert not hub.asked("modeling_evil.py")


@pytest.mark.parametrize("model_type", ["minicpm_sala", "llama", "qwen3_asr"])
def test_a_known_kind_of_model_does_without_its_code(hub, fetch, model_type):
    hub.add("a/tiny", model_files(SIZE, model_type=model_type, auto_map={"AutoModel": "modeling_evil.X"}))
    fetch()
    assert not hub.asked("modeling_evil.py")


@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b'{"weight_map": ["model.safetensors"]}',
        b'{"weight_map": {"w": "../../.bashrc"}}',
        b'{"weight_map": {"w": "pytorch_model.bin"}}',
        b'{"weight_map": {"w": "model-00001-of-00002.safetensors"}}',
    ],
)
def test_an_index_is_not_believed(hub, refused, index):
    files = model_files(shards=2)
    del files["model-00001-of-00002.safetensors"]
    hub.add("a/tiny", {**files, "model.safetensors.index.json": index})
    assert refused().reason == "incomplete"


def test_an_index_of_other_files_gives_way_to_the_single_file(hub, fetch, tmp_path):
    stale = {"model.safetensors.index.json": b'{"weight_map": {"w": "model-00001-of-00002.safetensors"}}'}
    hub.add("a/tiny", {**model_files(SIZE), **stale})
    fetch()
    assert set(files_of(tmp_path / "models" / "tiny")) == WANTED | {WEIGHTS}


@pytest.mark.slow
def test_two_processes_do_not_write_into_one_folder(hub, fetch, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    folder = Folders(tmp_path).partial("tiny")
    folder.mkdir(parents=True)
    with locks.held(folder), pytest.raises(locks.Held):
        fetch()
    fetch()


@pytest.mark.slow
def test_proxies_and_the_offline_switch_are_heeded(hub, tmp_path):
    hub.add("a/tiny", model_files(SIZE))
    command = [sys.executable, "-m", "ominix.library.fetch.download", str(tmp_path), "tiny", "a/tiny"]

    def run(**variables: str) -> dict:
        env = {**os.environ, **variables}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
            return [json.loads(line) for line in process.stdout][-1]

    assert run(HF_HUB_OFFLINE="1")["reason"] == "offline"
    assert not hub.seen
    elsewhere = {"HF_ENDPOINT": "http://hub.invalid", "NO_PROXY": "localhost", "HTTP_PROXY": hub.url}
    assert run(**elsewhere) == {"state": "ready"}
    assert hub.asked("config.json")[-1].via_proxy
