"""A small hub on loopback that huggingface_hub talks to unmodified: lists, files, ranges, redirects, tokens.

Large files are redirected to another host name, as the real hub does with its CDN. Faults on demand.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

CHUNK = 16 << 10
CONNECTIONS = threading.BoundedSemaphore(64)


@dataclass
class Repo:
    files: dict[str, bytes]
    token: str | None = None  # who may read the files
    revision: str = ""

    def __post_init__(self) -> None:
        parts = b"".join(name.encode() + data for name, data in sorted(self.files.items()))
        self.revision = self.revision or hashlib.sha1(parts).hexdigest()


@dataclass
class Faults:
    """What goes wrong. Counters are used up; files are named, lists are "list"."""

    bytes_per_second: int | None = None
    statuses: dict[str, list[int]] = field(default_factory=dict)  # name -> statuses of the next answers
    cuts: dict[str, list[int]] = field(
        default_factory=dict
    )  # name -> bytes after which the next answers break
    wrong: dict[str, int] = field(default_factory=dict)  # name -> answers with a wrong byte
    ignore_range: bool = False
    sizes: dict[str, int] = field(default_factory=dict)  # name -> size that the list claims
    names_alone: bool = False  # the list tells neither sizes nor hashes
    bare: bool = False  # HEAD is refused, and answers tell no hash and no length
    gate: threading.Event | None = None  # weights wait for it before their last byte


@dataclass(frozen=True)
class Seen:
    method: str
    name: str  # of the file, or "list"
    host: str
    range: str | None
    token: str | None
    via_proxy: bool


class Hub:
    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.sent_bytes = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, repo_id: str, files: dict[str, bytes], **options) -> Repo:
        self.repos[repo_id] = Repo(files, **options)
        return self.repos[repo_id]

    def asked(self, name: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.name == name and seen.method == "GET"]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        if self.hub.faults.bare:
            self._refuse(405)
        else:
            self.do_GET()

    def do_GET(self) -> None:
        with CONNECTIONS:
            try:
                self._route()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def _route(self) -> None:
        via_proxy = self.path.startswith("http://")
        path = "/" + self.path.split("/", 3)[3] if via_proxy else self.path
        parts = path.partition("?")[0].strip("/").split("/")
        host = self.headers["Host"].partition(":")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if parts[0] == "api" and parts[1] != "models":
            return self._refuse(404)
        if parts == ["api", "models"]:
            return self._search(parse_qs(self.path.partition("?")[2]))
        name = "list" if parts[0] == "api" else parts[-1]
        self.hub.seen.append(Seen(self.command, name, host, self.headers.get("Range"), token, via_proxy))
        statuses = self.hub.faults.statuses.get(name)
        if statuses:
            return self._refuse(statuses.pop(0))
        if parts[0] == "api":
            return self._list("/".join(parts[2:4]))
        if parts[0] == "cdn":
            return self._send(self._find("/".join(parts[1:3])), parts[3])
        if len(parts) < 5:
            return self._refuse(404)
        return self._resolve("/".join(parts[:2]), parts[3], parts[4], token)

    def _find(self, repo_id: str) -> Repo | None:
        return self.hub.repos.get(repo_id)

    def _refuse(self, status: int, code: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _search(self, query: dict[str, list[str]]) -> None:
        words = query["search"][0].lower().split()
        found = [r for r in self.hub.repos if all(word in r.lower() for word in words)]
        entries = [{"id": r, "downloads": 1234, "pipeline_tag": "text-generation"} for r in found]
        self._send_json(entries[: int(query["limit"][0])])

    def _list(self, repo_id: str) -> None:
        repo = self._find(repo_id)
        if repo is None:
            self._refuse(404, "RepoNotFound")
            return
        siblings = [self._sibling(name, data) for name, data in repo.files.items()]
        self._send_json({"id": repo_id, "sha": repo.revision, "siblings": siblings})

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _sibling(self, name: str, data: bytes) -> dict:
        if self.hub.faults.names_alone:
            return {"rfilename": name}
        size = self.hub.faults.sizes.get(name, len(data))
        found = {"rfilename": name, "size": size, "blobId": git_hash(data)}
        if _is_large(name):
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        return found

    def _resolve(self, repo_id: str, revision: str, name: str, token: str | None) -> None:
        repo = self._find(repo_id)
        if repo is None:
            return self._refuse(404, "RepoNotFound")
        if repo.token is not None and token != repo.token:
            return self._refuse(401, "GatedRepo")
        if revision != repo.revision:
            return self._refuse(404, "RevisionNotFound")
        if name not in repo.files:
            return self._refuse(404, "EntryNotFound")
        if not _is_large(name):
            return self._send(repo, name)
        return self._redirect(repo_id, revision, name)

    def _redirect(self, repo_id: str, revision: str, name: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.hub.port}/cdn/{repo_id}/{name}")
        self.send_header("X-Repo-Commit", revision)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, repo: Repo | None, name: str) -> None:
        assert repo is not None
        faults, data, begin = self.hub.faults, repo.files[name], 0
        if self.command == "GET" and faults.wrong.get(name, 0) > 0:
            faults.wrong[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = self.headers.get("Range", "")
        if asked and not faults.ignore_range:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if faults.bare:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("ETag", f'"{git_hash(data)}"')
            self.send_header("X-Repo-Commit", repo.revision)
            self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if self.command == "GET":
            self._write(data[begin:], name)

    def _write(self, data: bytes, name: str) -> None:
        faults = self.hub.faults
        cuts = faults.cuts.get(name)
        end = cuts.pop(0) if cuts else None
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            if faults.gate is not None and _is_large(name) and start + CHUNK >= len(data):
                self.wfile.write(chunk[:-1])
                chunk = chunk[-1:]
                faults.gate.wait(30)
            if end is not None and start + len(chunk) > end:
                self.wfile.write(chunk[: max(0, end - start)])
                self.close_connection = True
                return
            self.wfile.write(chunk)
            self.hub.sent_bytes += len(chunk)
            if faults.bytes_per_second:
                time.sleep(len(chunk) / faults.bytes_per_second)

    def log_message(self, format: str, *args) -> None:
        pass


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def safetensors(size: int, seed: int = 0) -> bytes:
    """A real file with one tensor of random bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(size)


def model_files(size: int = 200_000, *, shards: int = 1, seed: int = 0, **config) -> dict[str, bytes]:
    """A repository as they are: the model, and much that is none of its business."""
    files = {
        "config.json": json.dumps(
            {"model_type": "llama", "quantization": {"bits": 4, "group_size": 32}, **config}
        ).encode(),
        "tokenizer.json": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
        "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
        "generation_config.json": b'{"eos_token_id": 2}',
        "README.md": b"# A model\n",
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "modeling_evil.py": b"raise SystemExit('code was run')\n",
        "pytorch_model.bin": b"\x80\x04pickle",
        "onnx/model.safetensors": safetensors(10),
    }
    if shards == 1:
        return {**files, "model.safetensors": safetensors(size, seed)}
    names = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
    weight_map = {f"w{n}": name for n, name in enumerate(names)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return files | {name: safetensors(size // shards, seed + n) for n, name in enumerate(names)}
