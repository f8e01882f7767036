"""The store through HTTP and the command line: real servers, children and files; a hub on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from hub import Faults, Hub, model_files
from serving import Clients, RunningServer, eventually

from ominix.library.records import Records

pytestmark = pytest.mark.slow

WEIGHTS = "model.safetensors"


def obedient(**options) -> dict[str, bytes]:
    """A repository whose model the scripted engine serves: a whole way without mlx."""
    return model_files(model_type="scripted", **options)


@pytest.fixture
def server(hub, serve):
    return serve("--scripted", "--strict")


def pull(server: RunningServer, repo_id: str) -> tuple[int, dict]:
    status, _, body = server.request("POST", "/v1/models/download", {"repo_id": repo_id})
    return status, body


def state(server: RunningServer, model_id: str) -> dict:
    return server.request("GET", f"/v1/models/downloads/{model_id}")[2]


def wait_for(server: RunningServer, model_id: str, wanted: str, seconds: float = 30.0) -> dict:
    assert eventually(lambda: state(server, model_id).get("state") == wanted, seconds), state(
        server, model_id
    )
    return state(server, model_id)


def listed(server: RunningServer) -> dict[str, dict]:
    return {m["id"]: m for m in server.request("GET", "/v1/models")[2]["data"]}


def code(answer) -> tuple[int, str]:
    return answer[0], answer[2]["error"]["code"]


def children(server: RunningServer) -> list[psutil.Process]:
    """The fetching ones."""
    return [p for p in server.workers() if "ominix.library.fetch.download" in p.cmdline()]


def cli(home, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ominix", "--home", str(home), *arguments]
    env = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)


@pytest.mark.slow
@pytest.mark.contract("models.lifecycle", "models.ids", "models.reference-fields")
def test_a_model_from_the_hub_to_an_answer_and_away_again(hub, server):
    files = obedient()
    hub.add("a/tiny", files)
    hub.faults.gate = threading.Event()
    assert pull(server, "a/tiny") == (202, {"status": "downloading", "id": "tiny", "repo_id": "a/tiny"})
    assert eventually(lambda: state(server, "tiny")["bytes_total"] is not None)
    seen = state(server, "tiny")
    assert (seen["state"], seen["error"]) == ("downloading", None)
    assert 0 < seen["bytes_done"] < seen["bytes_total"]
    assert listed(server)["tiny"]["status"] == "downloading"
    assert code(server.chat("hello", model="tiny")) == (503, "model_downloading")
    assert code(server.request("DELETE", "/v1/models/tiny")) == (409, "model_downloading")

    hub.faults.gate.set()
    done = wait_for(server, "tiny", "ready")
    assert done["bytes_done"] == done["bytes_total"]
    model = listed(server)["tiny"]
    assert model.pop("sampling_defaults")["max_tokens"] == 2048
    assert model == {
        "id": "tiny",
        "object": "model",
        "created": model["created"],
        "owned_by": "a",
        "path": str(server.home / "models" / "tiny"),
        "loaded": False,
        "size_bytes": done["bytes_total"],
        "status": "ready",
        "task": "chat",
        "abilities": ["chat"],
        "repo_id": "a/tiny",
        "quantization": {"bits": 4, "group_size": 32},
        "downloaded_at": model["downloaded_at"],
    }
    assert abs(int(model["downloaded_at"]) - time.time()) < 60
    assert server.request("GET", "/v1/models/a/tiny")[2]["id"] == "tiny"
    assert code((*pull_raw(server, "a/tiny"),)) == (409, "model_already_exists")

    for name in ("tiny", "a/tiny"):
        status, _, answer = server.chat("hello", model=name)
        assert (status, answer["choices"][0]["message"]["content"][:6]) == (200, "hello0")
    assert listed(server)["tiny"]["loaded"]
    assert code(server.request("DELETE", "/v1/models/tiny")) == (409, "model_loaded")
    assert server.request("POST", "/v1/models/tiny/unload")[2]["loaded"] is False
    gone = {"id": "tiny", "object": "model", "deleted": True}
    assert server.request("DELETE", "/v1/models/a%2Ftiny")[::2] == (200, gone)
    for method, path in (("GET", "tiny"), ("DELETE", "tiny"), ("GET", "downloads/tiny")):
        assert code(server.request(method, f"/v1/models/{path}")) == (404, "model_not_found")
    assert "tiny" not in listed(server)


def pull_raw(server: RunningServer, repo_id: str):
    return server.request("POST", "/v1/models/download", {"repo_id": repo_id})


@pytest.mark.slow
def test_load_and_unload_by_hand(hub, server):
    hub.add("a/tiny", obedient())
    hub.add("a/broken", obedient())
    for repo_id in ("a/tiny", "a/broken"):
        pull(server, repo_id)
    wait_for(server, "tiny", "ready")
    wait_for(server, "broken", "ready")
    status, _, model = server.request("POST", "/v1/models/tiny/load")
    assert (status, model["loaded"]) == (200, True)
    worker, *_ = server.workers()
    status, _, model = server.request("POST", "/v1/models/a/tiny/unload")
    assert (status, model["loaded"]) == (200, False)
    assert not worker.is_running()
    assert server.request("POST", "/v1/models/tiny/unload")[0] == 200
    assert code(server.request("POST", "/v1/models/broken/load")) == (503, "model_unavailable")
    assert code(server.request("POST", "/v1/models/nothing/load")) == (404, "model_not_found")
    busy = Clients(1, lambda _: server.chat("sleep 1", model="tiny"))
    assert eventually(lambda: server.jobs("tiny") == 1)
    assert code(server.request("POST", "/v1/models/tiny/unload")) == (409, "model_busy")
    assert busy.join(10)[0][0] == 200
    for method, path in (("POST", "tiny"), ("GET", "tiny/load"), ("DELETE", "tiny/unload"), ("PUT", "tiny")):
        assert code(server.request(method, f"/v1/models/{path}")) == (405, "method_not_allowed")


@pytest.mark.slow
def test_two_clients_at_once_share_one_download(hub, server):
    hub.add("a/tiny", obedient())
    answers = Clients(8, lambda _: pull(server, "a/tiny")).join(20)
    assert answers == [(202, {"status": "downloading", "id": "tiny", "repo_id": "a/tiny"})] * 8
    wait_for(server, "tiny", "ready")
    assert len(hub.asked("list")) == 1
    assert eventually(lambda: "download ended" in server.log)
    assert server.log.count("download ended") == 1


@pytest.mark.slow
def test_two_repositories_of_one_name_are_two_models(hub, server):
    for owner in "ab":
        hub.add(f"{owner}/tiny", obedient(seed=ord(owner)))
        pull(server, f"{owner}/tiny")
    wait_for(server, "tiny", "ready")
    wait_for(server, "b--tiny", "ready")
    models = listed(server)
    assert (models["tiny"]["owned_by"], models["b--tiny"]["owned_by"]) == ("a", "b")
    assert server.request("GET", "/v1/models/b/tiny")[2]["id"] == "b--tiny"


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
def test_a_cancelled_download_keeps_what_it_has_if_asked(hub, server, keep):
    hub.add("a/tiny", obedient())
    hub.faults.gate = threading.Event()
    pull(server, "a/tiny")
    assert eventually(lambda: state(server, "tiny")["bytes_done"] > 190_000)
    path = f"/v1/models/downloads/tiny?keep_partial={str(keep).lower()}"
    answer = server.request("DELETE", path)
    assert answer[::2] == (200, {"id": "tiny", "object": "model.download", "deleted": True})
    assert not children(server)
    assert "tiny" not in listed(server)
    hub.faults.gate.set()
    hub.seen.clear()
    if keep:
        assert state(server, "tiny")["state"] == "cancelled"
        assert state(server, "tiny")["bytes_done"] > 190_000
    else:
        assert code(server.request("GET", path)) == (404, "model_not_found")
        assert not list((server.home / "models" / ".downloads").iterdir())
    pull(server, "a/tiny")
    wait_for(server, "tiny", "ready")
    resumed = hub.asked(WEIGHTS)[0].range != "bytes=0-"
    assert resumed == keep


@pytest.mark.slow
def test_failures_are_kept_with_their_reason_and_can_be_retried(hub, server):
    assert pull(server, "a/tiny")[0] == 202
    error = wait_for(server, "tiny", "failed")["error"]
    assert (error["code"], error["reason"]) == ("download_failed", "not_found")
    assert "tiny" not in listed(server)
    model = server.request("GET", "/v1/models/tiny")[2]
    assert (model["status"], "does not exist" in model["trouble"]) == ("failed", True)
    hub.add("a/tiny", obedient())
    pull(server, "a/tiny")
    assert wait_for(server, "tiny", "ready")["error"] is None
    pull(server, "a/other")
    wait_for(server, "other", "failed")
    assert server.request("DELETE", "/v1/models/other")[2]["deleted"]
    assert "other" not in listed(server)


def wrong_for_good(hub: Hub) -> None:
    hub.faults.wrong[WEIGHTS] = 2


def full_disk(hub: Hub) -> None:
    hub.faults.sizes[WEIGHTS] = 1 << 50


def cut(hub: Hub) -> None:
    hub.faults.cuts[WEIGHTS] = [50_000, 50_000]


def passing_errors(hub: Hub) -> None:
    hub.faults.statuses = {"list": [500], WEIGHTS: [503]}


def slow(hub: Hub) -> None:
    hub.faults.bytes_per_second = 200_000


def gone(hub: Hub) -> None:
    hub.repos.clear()


def gated(hub: Hub) -> None:
    hub.repos["a/tiny"].token = "hf_other"


FAULTS = [  # what goes wrong, the reason that is told; None: it is overcome
    (cut, None),
    (passing_errors, None),
    (slow, None),
    (wrong_for_good, "corrupt"),
    (full_disk, "no_space"),
    (gone, "not_found"),
    (gated, "gated"),
]


@pytest.mark.slow
def test_every_fault_of_the_hub_through_http(hub, server):
    for fault, reason in FAULTS:
        hub.faults = Faults()
        hub.add("a/tiny", obedient())
        fault(hub)
        assert pull(server, "a/tiny")[0] == 202
        if fault is slow:
            assert eventually(lambda: state(server, "tiny")["seconds_left"])
            assert 10_000 < state(server, "tiny")["bytes_per_second"] < 400_000
        ended = wait_for(server, "tiny", "failed" if reason else "ready")
        assert (ended["error"] or {}).get("reason") == reason, fault
        assert server.request("DELETE", "/v1/models/tiny")[0] == 200


@pytest.mark.slow
def test_every_fault_of_the_hub_on_the_command_line(hub, tmp_path):
    for fault, reason in FAULTS:
        hub.faults = Faults()
        hub.add("a/tiny", obedient())
        fault(hub)
        pulled = cli(tmp_path, "pull", "a/tiny")
        assert pulled.returncode == (1 if reason else 0), (fault, pulled.stderr)
        assert (reason is None) == (tmp_path / "models" / "tiny").is_dir()
        record = Records(tmp_path).all()["tiny"]
        assert (record.reason, (record.message or "") in pulled.stderr) == (reason, True)
        assert cli(tmp_path, "rm", "tiny").returncode == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"repo_id": ""}, {"repo_id": 5}, {"repo_id": "tiny"}, {"repo_id": "../tiny"}, {"repo_id": "a/../b"}],
)
def test_what_is_no_repository_is_a_400(shared_server, body):
    status, _, answer = shared_server.request("POST", "/v1/models/download", body)
    assert (status, answer["error"]["param"]) == (400, "repo_id")


def test_a_built_in_model_and_aliases_cannot_be_deleted(shared_server):
    assert code(shared_server.request("DELETE", "/v1/models/scripted")) == (409, "model_built_in")
    for name in ("whisper-1", "..%2F..", "%2e%2e", ".trash", "nothing"):
        assert shared_server.request("DELETE", f"/v1/models/{name}")[0] == 404, name


@pytest.mark.slow
def test_only_two_run_at_once_and_answers_stay_quick(hub, server):
    hub.faults.gate = threading.Event()
    for n in range(4):
        hub.add(f"a/m{n}", obedient(seed=n))
        pull(server, f"a/m{n}")
    assert eventually(lambda: len(children(server)) == 2)
    states = [state(server, f"m{n}")["state"] for n in range(4)]
    assert states == ["downloading", "downloading", "queued", "queued"]
    assert server.request("DELETE", "/v1/models/downloads/m3")[0] == 200
    begun = time.monotonic()
    assert server.chat("hello")[0] == 200
    assert time.monotonic() - begun < 5.0  # the bound is against waiting for a download
    hub.faults.gate.set()
    for n in range(3):
        wait_for(server, f"m{n}", "ready")
    assert "m3" not in listed(server)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_download_survives_its_server(hub, serve, number):
    hub.add("a/tiny", obedient())
    hub.faults.gate = threading.Event()
    first = serve("--scripted", "--strict")
    pull(first, "a/tiny")
    assert eventually(lambda: state(first, "tiny")["bytes_done"] > 190_000)
    (child,) = children(first)
    first.process.send_signal(number)
    first.process.wait(10)
    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5.0)

    second = serve("--scripted", "--strict", home=first.home)
    hub.faults.gate.set()
    hub.seen.clear()
    seen = state(second, "tiny")
    assert seen["state"] == "interrupted"
    assert seen["bytes_done"] > 190_000
    assert "interrupted" in second.request("GET", "/v1/models/tiny")[2]["trouble"]
    pull(second, "a/tiny")
    wait_for(second, "tiny", "ready")
    assert hub.asked(WEIGHTS)[0].range not in (None, "bytes=0-")
    assert second.chat("hello", model="tiny")[0] == 200


@pytest.mark.slow
def test_a_child_that_is_killed_is_an_interrupted_download(hub, server):
    hub.add("a/tiny", obedient())
    hub.faults.gate = threading.Event()
    pull(server, "a/tiny")
    assert eventually(lambda: state(server, "tiny")["bytes_done"] > 190_000)
    children(server)[0].kill()
    wait_for(server, "tiny", "interrupted")
    hub.faults.gate.set()
    pull(server, "a/tiny")
    wait_for(server, "tiny", "ready")


@pytest.mark.slow
def test_the_command_line_does_it_without_a_server(hub, tmp_path):
    hub.add("a/tiny", model_files())
    assert "A real one for speech:\n'ominix pull " in cli(tmp_path, "list").stdout
    pulled = cli(tmp_path, "pull", "tiny-alias", OMINIX_ALIAS="tiny-alias=a/tiny")
    assert (pulled.returncode, "tiny is ready" in pulled.stdout) == (0, True), pulled.stderr
    assert pulled.stderr == ""  # the bar is for terminals
    assert "is here" in cli(tmp_path, "pull", "a/tiny").stdout
    lines = cli(tmp_path, "list").stdout.splitlines()
    assert lines[1].split() == ["tiny", "chat", "200.29", "kB", "4", "ready"], lines
    shown = cli(tmp_path, "info", "tiny").stdout
    assert "a/tiny" in shown and hub.repos["a/tiny"].revision in shown
    assert cli(tmp_path, "rm", "a/tiny").returncode == 0
    assert not (tmp_path / "models" / "tiny").exists()
    missing = cli(tmp_path, "rm", "nope")
    assert (missing.returncode, "does not exist" in missing.stderr) == (1, True)
    assert "moxin-org" in cli(tmp_path, "info", "minicpm-sala-9b").stderr


@pytest.mark.slow
def test_pull_says_why_and_resumes_after_ctrl_c(hub, tmp_path):
    refused = cli(tmp_path, "pull", "a/tiny")
    assert (refused.returncode, "does not exist" in refused.stderr) == (1, True)
    assert cli(tmp_path, "pull", "nonsense").returncode == 1
    assert "failed" in cli(tmp_path, "list").stdout
    hub.add("a/tiny", model_files())
    hub.faults.gate = threading.Event()
    command = [sys.executable, "-m", "ominix", "--home", str(tmp_path), "pull", "a/tiny"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        grown = tmp_path / "models" / ".downloads" / "tiny"
        # Only the weights' file: the small ones get their own names between a list and a stat.
        weights = f"{WEIGHTS}.*.partial"
        assert eventually(lambda: any(p.stat().st_size > 190_000 for p in grown.glob(weights)))
        held = cli(tmp_path, "rm", "a/tiny")
        assert (held.returncode, "being downloaded" in held.stderr) == (1, True)
        process.send_signal(signal.SIGINT)
        assert "goes on where it was" in process.stderr.read()
    assert process.returncode == 130
    hub.faults.gate.set()
    hub.seen.clear()
    assert cli(tmp_path, "pull", "a/tiny").returncode == 0
    assert hub.asked(WEIGHTS)[0].range != "bytes=0-"


@pytest.mark.slow
def test_the_command_line_beside_a_server(hub, server):
    hub.add("a/tiny", obedient())
    hub.faults.gate = threading.Event()
    command = [sys.executable, "-m", "ominix", "--home", str(server.home), "pull", "a/tiny"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert eventually(lambda: state(server, "tiny").get("state") == "downloading")
        assert pull(server, "a/tiny")[0] == 202  # joined
        assert not children(server)
        assert code(server.request("DELETE", "/v1/models/downloads/tiny")) == (409, "model_downloading")
        hub.faults.gate.set()
        assert b"tiny is ready" in process.stdout.read()
    assert len(hub.asked("list")) == 1
    assert server.chat("hello", model="tiny")[0] == 200
    refused = cli(server.home, "rm", "tiny")
    assert (refused.returncode, "loaded" in refused.stderr) == (1, True)
    assert "loaded" in cli(server.home, "list").stdout
    server.request("POST", "/v1/models/tiny/unload")
    assert cli(server.home, "rm", "tiny").returncode == 0
    assert "tiny" not in listed(server)
    assert Records(server.home).all() == {}
