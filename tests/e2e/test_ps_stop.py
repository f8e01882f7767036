"""`ominix ps` and `ominix stop` against a real server with a real worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def ominix(server, *argv: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ominix", *argv, "--url", server.url.removeprefix("http://")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_is_loaded_is_listed_and_unloaded(serve):
    server = serve("--scripted", "--strict")
    assert ominix(server, "ps").stdout == "No model is loaded; the first request for one loads it.\n"
    server.chat("say hi")
    lines = ominix(server, "ps").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "MEMORY", "REQUESTS", "IDLE"]
    name, state, memory, unit, requests, idle, seconds = lines[1].split()
    assert (name, state, unit, requests, seconds) == ("scripted", "ready", "MB", "0", "s")
    assert 5 < float(memory) < 500 and 0 <= int(idle) < 60
    stopped = ominix(server, "stop", "scripted")
    assert (stopped.returncode, stopped.stdout) == (0, "scripted is unloaded.\n"), stopped.stderr
    assert ominix(server, "stop", "scripted").stdout == "scripted was not loaded.\n"
    assert server.health().get("models", {}) == {}
    refused = ominix(server, "stop", "nope")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'nope' does not exist here" in refused.stderr


def test_a_server_with_a_key_says_that_it_wants_it(serve):
    server = serve("--scripted", "--api-key", "secret")
    for command in (["ps"], ["stop", "scripted"]):
        refused = ominix(server, *command)
        assert refused.returncode == 1
        assert refused.stderr.startswith("ominix: the server wants a key: give it with --api-key KEY")
    assert ominix(server, "ps", "--api-key", "secret").returncode == 0
