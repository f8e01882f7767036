"""What a machine may lack: disk, descriptors, threads. Each lack costs its requests, and passes."""

from __future__ import annotations

import errno
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hub import model_files
from serving import MIB, RunningServer, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process, small disks"),
]
CAN_MOUNT = (
    sys.platform == "linux"
    and not subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode
)
small_disk = pytest.mark.skipif(not CAN_MOUNT, reason="needs a namespace of its own for its disk")


def on_small_disk(folder: Path, mib: int) -> list[str]:
    """A command's beginning: for it alone a disk of so many MiB lies over the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size={mib}m tmpfs {folder} && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", script, "sh"]


def inside(server: RunningServer, path: Path) -> Path:
    """The file as the server sees it."""
    return Path(f"/proc/{server.process.pid}/root{path}")


def fill(path: Path) -> None:
    with pytest.raises(OSError) as caught, path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    assert caught.value.errno == errno.ENOSPC
    with path.open("ab", buffering=0) as file:  # the last page, too
        try:
            while True:
                file.write(b"x")
        except OSError:
            pass


def code(answer) -> tuple[int, str, str]:
    return answer[0], answer[2]["error"]["code"], answer[2]["error"]["message"]


def works(server: RunningServer) -> bool:
    return server.health()["status"] == "ok" and server.chat("say hi")[0] == 200


def pull(server: RunningServer):
    return server.request("POST", "/v1/models/download", {"repo_id": "a/tiny"})


def download(server: RunningServer) -> dict:
    return server.request("GET", "/v1/models/downloads/tiny")[2]


@small_disk
def test_a_full_home_costs_the_download_alone(serve, hub, tmp_path):
    hub.add("a/tiny", model_files(200_000, model_type="scripted"))
    models = tmp_path / "home0"
    server = serve("--scripted", prefix=on_small_disk(models / "models", 1), home=models)
    filler = inside(server, models / "models" / "filler")
    fill(filler)
    assert pull(server)[0] == 202
    assert eventually(lambda: download(server)["state"] == "failed", 30), download(server)
    assert download(server)["error"]["reason"] == "no_space"
    assert works(server)
    assert server.stop() == 0


@small_disk
def test_records_that_cannot_be_written_are_said(serve, hub, tmp_path):
    hub.add("a/tiny", model_files(200_000, model_type="scripted"))
    home = tmp_path / "home0"
    server = serve("--scripted", prefix=on_small_disk(home, 1), home=home)
    filler = inside(server, home / "filler")
    fill(filler)
    assert code(pull(server)) == (507, "disk_full", "The disk of the server is full.")
    assert works(server)
    filler.unlink()
    assert pull(server)[0] == 202
    assert server.stop() == 0


@small_disk
def test_a_home_that_may_only_be_read(serve, hub, tmp_path):
    hub.add("a/tiny", model_files(200_000, model_type="scripted"))
    home = tmp_path / "home0"
    (home / "models").mkdir(parents=True)
    script = f'mount --bind {home} {home} && mount -o remount,bind,ro {home} && exec "$@"'
    server = serve("--scripted", prefix=["unshare", "-rm", "sh", "-c", script, "sh"], home=home)
    refusal = "The server's machine refuses: Read-only file system."
    assert code(pull(server)) == (503, "unavailable", refusal)
    assert works(server)
    assert server.request("GET", "/v1/models")[0] == 200
    assert server.stop() == 0


@small_disk
def test_a_full_disk_for_uploads(serve, tmp_path):
    home = tmp_path / "home0"
    server = serve("--scripted", prefix=on_small_disk(home / "temp", 1), home=home)
    body = b"\r\n".join([
        b"--x", b'Content-Disposition: form-data; name="model"', b"", b"scripted-speech",
        b"--x", b'Content-Disposition: form-data; name="file"; filename="a"', b"",
        bytes(4 * MIB), b"--x--", b"",
    ])  # fmt: skip
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for _ in range(3):
        assert code(server.request("POST", "/v1/audio/transcriptions", body, kind))[:2] == (507, "disk_full")
    assert works(server)
    small = body.replace(bytes(4 * MIB), bytes(100_000))
    assert server.request("POST", "/v1/audio/transcriptions", small, kind)[0] == 200


def test_a_log_that_cannot_be_written(serve, tmp_path):
    server = serve("--scripted", prefix=["sh", "-c", 'exec "$@" 2> /dev/full', "sh"])
    for _ in range(20):
        assert works(server)
    assert server.stop() == 0


def test_no_descriptors_are_left(serve):
    server = serve("--scripted")
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()) + 1
    seen = set()
    for spare in range(12):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + spare, before[1]))
        try:
            status, _, body = server.chat("say hi", timeout=5)
        except OSError:  # it could not even be let in
            continue
        seen.add(status)
        assert status == 200 or "could not be started: Too many open files" in body["error"]["message"]
    assert seen == {200, 503}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert server.chat("say hi")[0] == 200
    assert works(server)
    assert "Traceback" not in server.log


def test_no_threads_can_be_started(serve, hub):
    hub.add("a/tiny", model_files(200_000, model_type="scripted"))
    server = serve("--scripted")
    pid = server.process.pid
    assert server.health()["status"] == "ok"
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (size + 4 * MIB, before[1]))
    for _ in range(3):
        refusal = "scripted could not be started: Resource temporarily unavailable"
        assert code(server.chat("say hi")) == (503, "model_unavailable", refusal)
        assert code(pull(server))[:2] == (503, "unavailable")
        assert not server.workers()
    assert "could not be started" in server.health()["reason"]
    resource.prlimit(pid, resource.RLIMIT_AS, before)
    assert server.chat("say hi")[0] == 200
    assert works(server)
    assert pull(server)[0] == 202
    assert eventually(lambda: download(server)["state"] == "ready", 30)
    assert "Traceback" not in server.log


@small_disk
@pytest.mark.parametrize("command", [["pull", "a/b"], ["import-gguf", __file__], ["import-ct2", __file__]])
def test_commands_say_what_is_refused_without_a_traceback(tmp_path, command):
    script = f'mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && exec "$@"'
    ominix = [sys.executable, "-m", "ominix", "--home", str(tmp_path), *command]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *ominix], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_threads_for_a_server_are_said(tmp_path):
    limited = ["sh", "-c", 'ulimit -v 1500000 && exec "$@"', "sh", sys.executable, "-m", "ominix"]
    serve = ["--home", str(tmp_path), "serve", "--port", "0", "--jobs-per-worker", "256"]
    done = subprocess.run([*limited, *serve], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.search(r"the system does not start \d+ threads", done.stderr)
    assert "Traceback" not in done.stderr


@small_disk
def test_speech_needs_no_shared_memory(tmp_path):
    script = f'mount --bind {tmp_path} /dev/shm && mount -o remount,bind,ro /dev/shm && exec "$@"'
    speech = Path(__file__).parents[1] / "data" / "speech" / "seen-00.ogg"
    home = tmp_path.with_name("home-beside")
    ominix = [sys.executable, "-m", "ominix", "--home", str(home), "transcribe", str(speech)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *ominix, "--port", "9", "--model", "tiny-asr"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "rojo cinco\n"), done.stderr
