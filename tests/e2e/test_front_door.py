"""The front door of a real server: who gets in, what is refused early, what the slow and the silent cost."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from serving import Clients, RunningServer, eventually

from ominix.server.hosts import network_addresses

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
CASES = Path(__file__).parents[1] / "data" / "cases" / "hosts.txt"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(path: str, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def chat(prompt: str, *headers: str, **fields) -> bytes:
    body = json.dumps(
        {"model": "scripted", "messages": [{"role": "user", "content": prompt}], **fields}
    ).encode()
    return head(CHAT, f"Content-Length: {len(body)}", *headers) + body


def to_the_end(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def stored(server) -> int:
    """Bytes of files without a name that the server holds: bodies are spooled so."""
    found = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "(deleted)" in str(link.readlink()):
                found += link.stat().st_size
    return found


@pytest.fixture(scope="module")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path_factory.mktemp("home"), "--scripted", "--api-key", "one")
    yield running
    running.stop()


@pytest.mark.contract("transport.keys")
def test_from_another_machine_with_a_key_any_name_is_right(serve):
    """As the README says: `--host 0.0.0.0 --api-key KEY`. It answered everybody 403."""
    server = serve("--scripted", "--host", "0.0.0.0", "--api-key", "one")
    for host in ("my-server.example:8080", "192.168.1.5:8080", "studio.local"):
        headers = {"Host": host, "Authorization": "Bearer one"}
        assert server.request("GET", "/v1/models", headers=headers)[0] == 200
    assert server.request("GET", "/v1/models", headers={"Host": "studio.local"})[0] == 401


def hosts() -> dict[str, list[tuple[str, int]]]:
    """How a server is started -> Host headers and the right status, of tests/data/cases/hosts.txt."""
    rows = [line.split("\t") for line in CASES.read_text().splitlines() if line and line[0] != "#"]
    found: dict[str, list[tuple[str, int]]] = {}
    for host, flags, status in rows:
        found.setdefault("" if flags == "(default)" else flags, []).append((host, int(status)))
    return found


def test_the_banner_names_the_address_for_other_machines(serve):
    server = serve("--scripted", "--host", "0.0.0.0", "--api-key", "k")
    assert f"http://127.0.0.1:{server.port}/v1" in server.banner[0]
    assert server.process.stdout
    second = server.process.stdout.readline()
    for address in network_addresses():
        assert (f"http://{address}:{server.port}/v1" in second) == (":" not in address)


@pytest.mark.parametrize("flags", hosts())
def test_which_hosts_are_right(serve, flags):
    server = serve("--scripted", *flags.split())
    for host, status in hosts()[flags]:
        headers = {"Host": host, "Authorization": "Bearer k"}
        assert server.request("GET", "/v1/models", headers=headers)[0] == status, host


def test_an_electron_app_calls_on_loopback_without_any_setting(serve):
    """Obsidian's plugins call from app://obsidian.md: the answers were there, and could not be read."""
    server = serve("--scripted")
    page = {"Origin": "app://obsidian.md", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    status, found, _ = server.request("OPTIONS", "/v1/audio/transcriptions", headers={**page, **asked})
    assert (status, found["Access-Control-Allow-Origin"]) == (204, "app://obsidian.md")
    assert "authorization" in found["Access-Control-Allow-Headers"]
    assert "POST" in found["Access-Control-Allow-Methods"]
    form = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {
            "model": "scripted-speech",
            "prompt": "say hi",
            'file"; filename="a.webm': "x",
        }.items()
    )
    sent = {**page, "Content-Type": "multipart/form-data; boundary=b", "Authorization": "Bearer sk-1"}
    status, found, body = server.request("POST", "/v1/audio/transcriptions", form + "--b--\r\n", sent)
    assert (status, body["text"], found["Access-Control-Allow-Origin"]) == (200, "hi", "app://obsidian.md")


def test_keys_in_files_and_an_admin_key(serve, tmp_path):
    keys, admin = tmp_path / "keys", tmp_path / "admin"
    keys.write_text("# who may transcribe\n\nfirst\n  second  \n")
    admin.write_text("root\n")
    keys.chmod(0o640)
    admin.chmod(0o600)
    server = serve("--scripted", "--api-key-file", str(keys), env={"OMINIX_ADMIN_KEY_FILE": str(admin)})
    assert f"others can read the keys in {keys}: chmod 600" in server.log
    assert str(admin) not in server.log
    load = ("POST", "/v1/models/scripted/load")
    for key in ("first", "second"):
        headers = {"Authorization": f"Bearer {key}"}
        status, _, body = server.request(*load, headers=headers)
        assert (status, body["error"]["code"]) == (403, "admin_key_required")
        (model, *_) = server.request("GET", "/v1/models", headers=headers)[2]["data"]
        assert "path" not in model
    assert server.request("GET", "/v1/models")[0] == 401
    root = {"Authorization": "Bearer root"}
    assert server.request(*load, headers=root)[0] == 200
    assert "path" in server.request("GET", "/v1/models", headers=root)[2]["data"][0]


def test_health_tells_its_status_alone_without_the_key(serve):
    server = serve("--scripted", "--api-key", "one")
    key = {"Authorization": "Bearer one"}
    body = {"model": "scripted-broken", "messages": [{"role": "user", "content": "hello"}]}
    assert server.request("POST", CHAT, body, key)[0] == 503
    status, headers, told = server.request("GET", "/health")
    assert (status, told) == (503, {"status": "unavailable"})
    assert headers["Retry-After"]
    told = server.request("GET", "/health", headers=key)[2]
    assert "scripted to be broken" in told["reason"]
    assert told["models"]["scripted-broken"]["state"] == "failed"


@pytest.mark.contract("transport.error-shape", "transport.request-id", "transport.cors")
def test_refusals_at_the_door_look_like_all_others(serve):
    server = serve("--scripted", "--api-key", "one", "--allowed-origin", "https://app.example")
    headers = {"Origin": "https://app.example", "x-request-id": "mine"}
    status, found, body = server.request("POST", CHAT, {}, headers)
    assert (status, body["error"]["code"]) == (401, "missing_api_key")
    assert (found["x-request-id"], found["WWW-Authenticate"]) == ("mine", "Bearer")
    assert found["Access-Control-Allow-Origin"] == "https://app.example"
    assert eventually(lambda: "id=mine method=POST path=/v1/chat/completions status=401" in server.log)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.contract("transport.too-large", "transport.continue")
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (CHAT, ["Content-Length: 20000000"], 401),
        (CHAT, ["Transfer-Encoding: chunked"], 401),
        (CHAT, ["Content-Length: 200000000", "api-key: one"], 413),
        ("/v1/models/scripted/load", ["Content-Length: 20000000", "api-key: one"], 413),
        ("/v1/nothing", ["Content-Length: 20000000", "api-key: one"], 404),
        ("/v1/models", ["Content-Length: 20000000", "api-key: one"], 405),
    ],
)
def test_a_body_that_will_be_refused_is_neither_asked_for_nor_stored(keyed_server, path, headers, status):
    """Five connections without a key put 100 MiB into the temporary folder."""
    with connect(keyed_server) as connection:
        connection.sendall(head(path, *headers, "Expect: 100-continue"))
        answer = connection.recv(65536)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert b"connection: close" in answer.lower()
        for _ in range(64):
            connection.sendall(b"x" * 65536)
        assert stored(keyed_server) == 0
        connection.shutdown(socket.SHUT_WR)
        assert b"HTTP/1.1" not in to_the_end(connection)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit set from outside")
def test_silent_connections_keep_nobody_out(serve):
    """1,000 of them did, for good; no key is needed for it."""
    server = serve("--scripted")
    server.chat("hello")
    psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE, (120, 120))
    held = []
    for index in range(400):
        with contextlib.suppress(OSError):
            held.append(connect(server))
            held[-1].sendall(b"GET /health HT"[: index % 15])
    begun = time.monotonic()
    assert server.request("GET", "/health")[0] == 200
    assert server.chat("hello")[0] == 200
    assert time.monotonic() - begun < 5
    assert len(server.log) < 20_000
    for connection in held:
        connection.close()
    assert server.chat("hello")[0] == 200


@pytest.mark.slow
def test_a_reader_that_takes_nothing_loses_its_job(serve):
    server = serve("--scripted", "--send-timeout-seconds", "1")
    server.chat("hello")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        words = " ".join("w" * 500 for _ in range(200_000 // 500))
        deaf.sendall(chat(f"say {words}", stream=True, max_tokens=100_000, logprobs=True, top_logprobs=20))
        assert eventually(lambda: server.jobs() == 1)
        assert eventually(lambda: "took nothing of its answer" in server.log, 30)
        assert eventually(lambda: server.jobs() == 0)


@pytest.mark.contract("leaving.stops")
def test_a_client_that_pipelines_and_leaves_stops_its_job(serve):
    """The first of three requests worked on to its end: nobody read the connection any more."""
    server = serve("--scripted")
    server.chat("hello")
    with connect(server) as connection:
        connection.sendall(3 * chat("sleep 30"))
        assert eventually(lambda: server.jobs() == 1)
    assert eventually(lambda: server.jobs() == 0, 3)


@pytest.mark.slow
def test_a_flood_of_questions_holds_up_no_work(serve):
    """150 connections that asked for /openapi.json kept a chat from being served for 15 s."""
    server = serve("--scripted")
    server.chat("hello")
    end = time.monotonic() + 8
    asked = []

    def flood(_: int) -> None:
        with connect(server) as connection:
            while time.monotonic() < end:
                connection.sendall(GET.replace(b"/health", b"/openapi.json"))
                answer = connection.recv(65536)
                length = int(answer.lower().split(b"content-length: ")[1].split(b"\r")[0])
                rest = length + answer.index(b"\r\n\r\n") + 4 - len(answer)
                while rest > 0:
                    rest -= len(connection.recv(rest))
                asked.append(1)

    crowd = Clients(60, flood)
    time.sleep(1)
    times = []
    while time.monotonic() < end - 1:
        begun = time.monotonic()
        assert server.chat("hello", max_tokens=1)[0] == 200
        times.append(time.monotonic() - begun)
    crowd.join(30)
    print(f"{len(asked)} questions, {len(times)} chats, slowest {max(times):.2f} s")
    assert len(times) >= 3
