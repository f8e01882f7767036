"""Somebody sets the machine's clock, a day ahead or back: nobody is cut off, and the deadlines still hold."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import pytest
from serving import eventually

JUMPER = str(Path(__file__).parents[1] / "jumping_clock.py")
DAY_SECONDS = 86_400

pytestmark = pytest.mark.slow


def test_jumps_of_the_clock_cut_nobody_off_and_free_nobody(serve, tmp_path):
    offset = tmp_path / "offset"
    offset.write_text("0")
    server = serve("--scripted", "--stall-seconds", "5", prefix=(sys.executable, JUMPER, str(offset)))
    body = json.dumps(
        {"model": "scripted", "messages": [{"role": "user", "content": "hello " * 50}]}
    ).encode()
    silent = socket.create_connection(("127.0.0.1", server.port))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as upload, silent:
        opened = time.monotonic()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        upload.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body[:20])
        for jump in (DAY_SECONDS, -DAY_SECONDS):
            offset.write_text(str(jump))
            assert eventually(lambda jump=jump: abs(_created(server) - time.time() - jump) < 60)
            # two seconds: waitress and the guard of connections look once a second
            assert server.chat("tick 0.2", max_tokens=10, stream=True)[2].rstrip().endswith(b"[DONE]")
        upload.sendall(body[20:])
        assert upload.recv(100).startswith(b"HTTP/1.1 200")
        silent.settimeout(30)
        assert silent.recv(100) == b""
        assert 5 < time.monotonic() - opened < 30


def _created(server) -> int:
    created: int = server.chat("now")[2]["created"]
    return created
