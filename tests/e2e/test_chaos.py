"""Workers die at random under load: nothing hangs, nothing is left over."""

from __future__ import annotations

import os
import random
import time

import psutil
import pytest
from serving import Clients, eventually

pytestmark = pytest.mark.slow

SECONDS = int(os.environ.get("OMINIX_CHAOS_SECONDS", "30"))  # tools/drill_kills goes on for longer
CLIENTS = 24
MODELS = ("scripted", "scripted-2")
PROMPTS = ("hello", "tick 0.02", "sleep 0.2", "say some words here", "segfault", "raise", "exit 9")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 180)
def test_random_deaths_leave_nothing_behind(serve):
    server = serve("--scripted", "--strict", "--stall-seconds", "5")
    process = psutil.Process(server.process.pid)
    for model in MODELS:
        server.chat("hello", model=model)
    eventually(lambda: not _connections(process))
    before = (process.num_threads(), process.num_fds(), len(_workers(process)))
    end = time.monotonic() + SECONDS
    clients = Clients(CLIENTS, lambda index: _talk(server, index, end))
    kills = _kill_now_and_then(process, end)
    statuses = [status for part in clients.join(SECONDS + 60) for status in part]

    assert {200, 500} <= set(statuses) <= {200, 429, 500, 503}, set(statuses)
    assert statuses.count(200) > 50
    for model in MODELS:
        assert server.chat("hello", model=model)[0] == 200
    assert eventually(lambda: not _connections(process))
    assert eventually(lambda: (process.num_threads(), process.num_fds(), len(_workers(process))) == before), (
        before,
        process.num_threads(),
        process.num_fds(),
        _workers(process),
    )
    assert all(server.jobs(model) == 0 for model in MODELS)
    print(f"{kills} kills, {len(statuses)} requests: { ({s: statuses.count(s) for s in set(statuses)}) }")


def _talk(server, index: int, end: float) -> list[int]:
    dice = random.Random(index)
    statuses = []
    while time.monotonic() < end:
        prompt = dice.choices(PROMPTS, weights=(20, 10, 10, 10, 1, 1, 1))[0]
        answer = server.chat(
            prompt, model=dice.choice(MODELS), max_tokens=dice.randint(1, 40), stream=dice.random() < 0.5
        )
        statuses.append(answer[0])
        if answer[0] == 200 and isinstance(answer[2], bytes):
            last = answer[2].strip().split(b"\n\n")[-1]
            assert last == b"data: [DONE]" or b'"error"' in last, last
    return statuses


def _kill_now_and_then(process: psutil.Process, end: float) -> int:
    """How many."""
    dice, kills = random.Random(0), 0
    while time.monotonic() < end:
        time.sleep(dice.uniform(0.05, 0.5))
        workers = _workers(process)
        if workers:
            try:
                dice.choice(workers).kill()
            except psutil.NoSuchProcess:
                continue
            kills += 1
    return kills


def _workers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if _is_alive(child)]


def _is_alive(child: psutil.Process) -> bool:
    try:
        return bool(child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


def _connections(process: psutil.Process) -> list:
    return [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
