"""Many hands at one store: whatever they do in whichever order, it stays whole."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest
from hub import Hub, model_files
from serving import Clients, RunningServer, eventually

pytestmark = pytest.mark.slow

STEPS = 500
REPOSITORIES = ("a/one", "a/two", "b/two", "b/bad", "a/none")
IDS = ("one", "two", "b--two", "bad", "none")
WEIGHTS = {"download": 3, "cancel": 0.5, "load": 2, "chat": 3}  # of the others 1
PAUSE_SECONDS = 0.15  # of a hand between two steps, on average
STATUSES = {
    "list": {200},
    "downloads": {200},
    "get": {200, 404},
    "download": {202, 409, 429},
    "cancel": {200, 404, 409},
    "delete": {200, 404, 409},
    "load": {200, 400, 404, 429, 503},
    "unload": {200, 404, 409, 503},
    "chat": {200, 400, 404, 429, 500, 503},
}


def act(server: RunningServer, dice: random.Random) -> tuple[str, int, object]:
    weights = [WEIGHTS.get(name, 1) for name in STATUSES]
    (name,), model = dice.choices(tuple(STATUSES), weights), dice.choice(IDS)
    time.sleep(dice.expovariate(1 / PAUSE_SECONDS))
    path, keep = f"/v1/models/{model}", dice.choice(("true", "false"))
    if name == "chat":
        return name, *server.chat("hello", model=model, timeout=60)[::2]
    method, target, body = {
        "list": ("GET", "/v1/models", None),
        "downloads": ("GET", "/v1/models/downloads", None),
        "get": ("GET", path, None),
        "download": ("POST", "/v1/models/download", {"repo_id": dice.choice(REPOSITORIES)}),
        "cancel": ("DELETE", f"/v1/models/downloads/{model}?keep_partial={keep}", None),
        "delete": ("DELETE", path, None),
        "load": ("POST", f"{path}/load", None),
        "unload": ("POST", f"{path}/unload", None),
    }[name]  # fmt: skip
    return name, *server.request(method, target, body, timeout=60)[::2]


def check(hub: Hub, server: RunningServer) -> None:
    """What is there is whole, what is recorded is there, nothing else is left."""
    folder = server.home / "models"
    records = json.loads((server.home / "config.json").read_text())["models"]
    models = {path.name: path for path in folder.iterdir() if not path.name.startswith(".")}
    for name, path in models.items():
        assert records[name]["state"] == "ready"
        source = hub.repos[records[name]["repo_id"]].files
        found = {file.name: file.read_bytes() for file in path.iterdir()}
        assert {"config.json", "tokenizer.json", "model.safetensors"} <= found.keys()
        assert found == {file: source[file] for file in found}
    ready = {name for name, record in records.items() if record["state"] == "ready"}
    assert ready == models.keys()
    assert len({record["repo_id"] for record in records.values()}) == len(records)
    left = {path.name for path in folder.glob(".downloads/*")}
    assert left <= records.keys() - models.keys()
    assert not list(folder.glob(".trash/*"))


def settled(server: RunningServer) -> bool:
    downloads = server.request("GET", "/v1/models/downloads")[2]["data"]
    return not {"queued", "downloading", "verifying"} & {download["state"] for download in downloads}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_500_random_steps_of_six_hands_leave_a_whole_store(hub, serve):
    for repo_id in REPOSITORIES[:3]:
        hub.add(repo_id, model_files(300_000, seed=len(repo_id), model_type="scripted"))
    hub.add("b/bad", model_files(model_type="strange", auto_map={"AutoModel": "x.X"}))
    hub.faults.bytes_per_second = 3_000_000
    server = serve("--strict", "--scripted")
    seed = random.randrange(1 << 30)
    print("seed", seed)
    turn = iter(range(STEPS))
    lock = threading.Lock()

    def hand(number: int) -> list:
        dice, done = random.Random(seed + number), []
        while True:
            with lock:
                if next(turn, None) is None:
                    return done
            done.append(act(server, dice))

    steps = [step for done in Clients(6, hand).join(280) for step in done]
    assert len(steps) == STEPS
    for name, status, body in steps:
        assert status in STATUSES[name], (name, status, body)
    assert eventually(lambda: settled(server), 60.0)
    check(hub, server)
    assert {name for name, status, _ in steps if status < 300} == STATUSES.keys()
    listed = {model["id"] for model in server.request("GET", "/v1/models")[2]["data"]}
    assert {path.name for path in (server.home / "models").iterdir() if path.name[0] != "."} <= listed
    server.stop()
    assert "Traceback" not in server.log
