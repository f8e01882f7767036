"""Servers of a killed test run: two were found alive two hours later."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from serving import eventually

HERE = Path(__file__).parent
TEST = """
import os, time
from pathlib import Path
from serving import RunningServer

def test_something():
    home = Path(os.environ["SERVER_HOME"])
    server = RunningServer(home, "--scripted", "--preload", "scripted")
    (home / "pid").write_text(str(server.process.pid))
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_runner_s_server_ends(tmp_path):
    (tmp_path / "test_something.py").write_text(TEST)
    paths = os.pathsep.join(map(str, (HERE, HERE.parent)))
    env = {**os.environ, "PYTHONPATH": paths, "SERVER_HOME": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        "test_something.py",
    ]
    runner = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)
    try:
        assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), 30.0)
        server = psutil.Process(int((tmp_path / "pid").read_text()))
        family = [server, *server.children(recursive=True)]
    finally:
        runner.kill()
        runner.wait()
    try:
        assert eventually(lambda: not any(process.is_running() for process in family))
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
