"""A hub that lies: each lie ends in a failure that says what is wrong, in bounded time and memory."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from hub import git_hash, model_files
from huggingface_hub.utils import close_session

from ominix.errors import DownloadFailed
from ominix.library.fetch import wanted
from ominix.library.fetch.download import Fetch
from ominix.library.fetch.hub import Hub
from ominix.library.fetch.listing import NotAListing, parse

pytestmark = pytest.mark.slow

FILES = model_files(1000)
LISTED = {"sha": "a" * 40, "siblings": [
    {"rfilename": name, "size": len(data), "blobId": git_hash(data)} for name, data in FILES.items()
]}  # fmt: skip


class Answers:
    """The answer to a path, by its last part ("list" for the list of files): a function of the handler."""

    def __init__(self) -> None:
        self.by_name: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.tokens: list[tuple[str, str | None]] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0].strip("/").split("/")
        name = "list" if path[0] == "api" else path[-1]
        self.tokens.append((handler.headers["Host"], handler.headers.get("Authorization")))
        if name in self.by_name:
            self.by_name[name](handler)
        else:
            send(handler, json.dumps(LISTED).encode() if name == "list" else FILES[name])


@pytest.fixture
def hub(monkeypatch) -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answers.answer(self)
            except OSError:  # the client has had enough
                self.close_connection = True

        def log_message(self, format: str, *args) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield answers
    close_session()  # the one of this process, with its connections
    server.shutdown()
    server.server_close()


def send(handler, data: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def endless(status: int = 200, piece: bytes = b" " * (1 << 20), pause: float = 0.0, **headers: str):
    def answer(handler) -> None:
        send(handler, b"", status, **headers)
        while True:
            handler.wfile.write(piece)
            time.sleep(pause)

    return answer


def listed(**changes):
    """The list of files with one of them changed."""
    siblings = [{**s, **changes} if s["rfilename"] == "config.json" else s for s in LISTED["siblings"]]
    data = json.dumps({**LISTED, "siblings": siblings}).encode()
    return lambda handler: send(handler, data)


def redirect(to: str, status: int = 302):
    return lambda handler: send(handler, b"", status, Location=to)


@pytest.fixture
def failure(hub, tmp_path):
    """How the download of a/tiny fails; nothing lies outside its folder afterwards."""

    def run() -> DownloadFailed:
        source = Hub("a/tiny", endpoint=hub.url, pauses_seconds=(0.01,), list_seconds=1.0, pace_seconds=1.0)
        begun = time.monotonic()
        with pytest.raises(DownloadFailed) as caught:
            Fetch(tmp_path / "home", "tiny", source).run()
        assert time.monotonic() - begun < 20.0
        assert sorted(p.name for p in tmp_path.iterdir()) == ["home"]
        assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["config.json", "models"]
        assert [p.name for p in (tmp_path / "home" / "models").iterdir()] == [".downloads"]
        return caught.value

    return run


@pytest.mark.parametrize(
    "answer",
    [
        endless(), endless(piece=b" ", pause=0.05), endless(404), endless(500),
        endless(Content_Encoding="gzip", piece=gzip.compress(bytes(1 << 26))),
        lambda handler: send(handler, b"[" * 100_000), lambda handler: send(handler, b"[]"),
        lambda handler: send(handler, b'["error"]', 500), lambda handler: send(handler, b'{"siblings": 7}'),
        lambda handler: send(handler, b'{"siblings": [{}]}'),
        listed(size="12"), listed(size=-1), listed(size=True), listed(size=1e400),
        listed(blobId="../../../x"), listed(blobId="a\0b"), listed(blobId=7), listed(lfs="x"),
        listed(lfs={"size": 3, "sha256": "/etc"}),
        listed(lfs={"size": [], "sha256": "a" * 64}), redirect(""), redirect("/api/models/a/tiny"),
        redirect("file:///etc/passwd"), redirect("http://"), redirect("http://[::1"), redirect("//\0"),
        endless(302, Location="/api/models/a/tiny?x"),
    ],
)  # fmt: skip
def test_a_list_that_lies_or_never_ends_fails_with_a_sentence(hub, failure, answer):
    hub.by_name["list"] = answer
    failed = failure()
    assert failed.reason in ("hub", "offline", "not_found", "not_a_model")
    assert failed.message.endswith((".", "again.", "it."))


@pytest.mark.parametrize(
    "answer",
    [
        endless(), endless(piece=b" ", pause=0.05), endless(500), redirect(""), redirect("?again"),
        endless(302, Location="?again"), redirect("file:///etc/passwd"), redirect("http://\0/"),
        lambda handler: send(handler, b"", 206), lambda handler: send(handler, b"x", 304),
    ],
)  # fmt: skip
def test_a_file_that_lies_or_never_ends_fails_with_a_sentence(hub, failure, answer):
    hub.by_name["tokenizer.json"] = answer
    hub.by_name["list"] = lambda handler: send(handler, json.dumps(slow_tokenizer()).encode())
    assert failure().reason in ("hub", "offline", "corrupt")


def slow_tokenizer() -> dict:
    """Its tokenizer is large enough to be sent slowly."""
    siblings = [
        {**s, "size": 1 << 20} if s["rfilename"] == "tokenizer.json" else s for s in LISTED["siblings"]
    ]
    return {**LISTED, "siblings": siblings}


@pytest.mark.parametrize(
    ("name", "most"),
    [("config.json", wanted.MOST_CONFIG_BYTES), ("tokenizer.json", wanted.MOST_SETTINGS_BYTES)],
)
@pytest.mark.parametrize("tells", [True, False])
def test_a_file_that_is_larger_than_any_model_s_is_not_fetched(hub, failure, name, most, tells):
    siblings = [dict(s) for s in LISTED["siblings"]]
    (sibling,) = (s for s in siblings if s["rfilename"] == name)
    sibling["size"] = most + 1 if tells else None
    hub.by_name["list"] = lambda handler: send(handler, json.dumps({**LISTED, "siblings": siblings}).encode())
    hub.by_name[name] = endless()
    assert f"{name} has more than {most >> 20} MiB" in failure().message


def test_names_that_lead_elsewhere_are_no_files_of_a_model():
    names = ["../x", "/etc/x", "a/b", ".", "..", "a\0b", "x" * 300, "\ud800", "config.json", "a\nb"]
    data = json.dumps({"siblings": [{"rfilename": name, "size": 1} for name in names]}).encode()
    assert list(parse(data)[1]) == ["config.json"]


def test_a_list_of_too_many_files_is_refused():
    data = json.dumps({"siblings": [{"rfilename": f"f{i}"} for i in range(30_000)]}).encode()
    with pytest.raises(NotAListing, match="more than 20000 files"):
        parse(data)


def test_the_token_goes_to_the_hub_s_own_host_and_scheme_alone(hub, failure):
    port = hub.url.rsplit(":", 1)[1]
    hub.by_name["list"] = redirect(f"http://localhost:{port}/other")
    hub.by_name["other"] = lambda handler: send(handler, b"no", 404)
    failure()
    sent = dict(hub.tokens)
    assert sent == {f"127.0.0.1:{port}": "Bearer hf_secret", f"localhost:{port}": None}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a Mac's kernel limits no memory")
def test_the_child_s_memory_has_a_bound_and_its_end_is_a_sentence(hub, tmp_path):
    limits = []

    def many_objects(handler) -> None:
        limits.append(psutil.Process(child.pid).rlimit(psutil.RLIMIT_DATA)[0])
        resource.prlimit(child.pid, resource.RLIMIT_DATA, (200 << 20, 200 << 20))
        send(handler, b'{"siblings": [' + b",".join([b"{}"] * 4_000_000) + b"]}")

    hub.by_name["list"] = many_objects
    command = [sys.executable, "-m", "ominix.library.fetch.download", str(tmp_path), "tiny", "a/tiny"]
    environ = {**os.environ, "HF_ENDPOINT": hub.url}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environ) as child:
        assert child.stdout
        last = json.loads(list(child.stdout)[-1])
    assert limits[0] == 1 << 30
    assert last == {"state": "failed", "reason": "hub", "message": "The hub's answers take too much memory."}
