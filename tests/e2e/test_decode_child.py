"""A real server whose decode child hangs, then crashes: one request is refused, the model stays loaded."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from serving import RunningServer

SPEECH = Path(__file__).parents[1] / "data" / "speech"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("speech"),
    pytest.mark.skipif(sys.platform != "linux", reason="asks the limits of other processes"),
]


def children(server: RunningServer, module: str) -> list[psutil.Process]:
    below = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in below if module in child.cmdline()]


def idle_decoders(server: RunningServer) -> list[psutil.Process]:
    """Both: the one that has worked, and the one that was started in its place and is ready."""
    due = time.monotonic() + 60
    while time.monotonic() < due:
        found = children(server, "ominix.audio.child")
        if len(found) == 2 and all(child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0) for child in found):
            return found
        time.sleep(0.05)
    raise TimeoutError


def transcribe(server: RunningServer) -> httpx.Response:
    with (SPEECH / "marked-english.ogg").open("rb") as file:
        return httpx.post(
            f"{server.url}/v1/audio/transcriptions",
            files={"file": file},
            data={"model": "tiny-asr"},
            timeout=100,
        )


def test_a_decoder_that_hangs_and_crashes_costs_one_request(speech_server):
    assert transcribe(speech_server).status_code == 200
    decoders = idle_decoders(speech_server)
    workers = children(speech_server, "ominix.workers.worker")
    for decoder in decoders:
        os.kill(decoder.pid, signal.SIGSTOP)

    with ThreadPoolExecutor() as threads:
        try:
            doomed = [threads.submit(transcribe, speech_server) for _ in decoders]
            due = time.monotonic() + 60
            while len(children(speech_server, "ominix.audio.child")) == len(decoders):
                assert time.monotonic() < due
                time.sleep(0.05)
            assert transcribe(speech_server).status_code == 200
            assert not any(answer.done() for answer in doomed)
        finally:
            for decoder in decoders:
                os.kill(decoder.pid, signal.SIGSEGV)
                os.kill(decoder.pid, signal.SIGCONT)

    for answer in doomed:
        assert answer.result().status_code == 400
        error = answer.result().json()["error"]
        assert error["message"] == "the file cannot be decoded: its decoder died of SIGSEGV"
        assert (error["param"], error["code"]) == ("file", "invalid_audio_format")
    assert transcribe(speech_server).status_code == 200
    assert children(speech_server, "ominix.workers.worker") == workers
