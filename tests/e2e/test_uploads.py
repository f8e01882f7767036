"""An upload while it is served: on the disk once, without a name, gone with whoever is killed (Linux)."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import psutil
import pytest
from serving import Clients, RunningServer, eventually
from test_transcriptions import PATH, form

SIZE = 20 << 20
SLACK = 1 << 20
pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"), pytest.mark.slow]


class DiskWatch(threading.Thread):
    """The most bytes that the server's and its workers' files in the temporary folder took on the disk."""

    def __init__(self, server: RunningServer) -> None:
        super().__init__(daemon=True)
        self.most_bytes = 0
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.002):
            self.most_bytes = max(self.most_bytes, disk_bytes(self._server))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.most_bytes


def disk_bytes(server: RunningServer) -> int:
    sizes: dict[int, int] = {}
    for process in (psutil.Process(server.process.pid), *server.workers()):
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                if str(link.readlink()).startswith(str(server.temp)):
                    found = link.stat()
                    sizes[found.st_ino] = found.st_blocks * 512
            except OSError:  # closed meanwhile
                continue
    return sum(sizes.values())


@pytest.mark.contract("leaving.uploads")
def test_a_recording_lies_on_the_disk_once_and_without_a_name(serve):
    server = serve("--scripted")
    body, headers = form(("model", "scripted-speech"), ("prompt", "sleep 1"), file=os.urandom(SIZE))
    watch = DiskWatch(server)
    watch.start()
    client = Clients(1, lambda _: server.request("POST", PATH, body, headers))
    assert eventually(lambda: server.jobs("scripted-speech") == 1)
    assert not [path for path in server.temp.rglob("*") if path.is_file()]
    ((status, _, _),) = client.join(20)
    most_bytes = watch.stop()
    assert status == 200
    assert SIZE <= most_bytes < SIZE + SLACK
    assert eventually(lambda: not server.uploads(), 2)


@pytest.mark.contract("leaving.uploads")
def test_nothing_of_an_upload_outlives_a_killed_server(serve):
    server = serve("--scripted")
    body, headers = form(("model", "scripted-speech"), ("prompt", "sleep 30"), file=os.urandom(SIZE))

    def cut_off(_: int) -> None:
        with pytest.raises(OSError):
            server.request("POST", PATH, body, headers)

    client = Clients(1, cut_off)
    assert eventually(lambda: server.jobs("scripted-speech") == 1)
    workers = server.workers()
    assert eventually(server.uploads)
    server.process.kill()
    client.join(10)
    assert eventually(lambda: not any(worker.is_running() for worker in workers))
    assert not [path for path in server.temp.rglob("*") if path.is_file()]
