"""A world of simulated clients, children, hubs and disks around the real downloads: one seed, one clock.

What a download does is real: `Downloads` with its records, folders and locks on a real folder, and the
child's `Fetch`. Simulated are the clock, the hub, the pipe between child and server, the disk's room, and the
deaths: a child may be killed at each of its messages and after each piece of a file, and the server between
any two steps. Each child is a thread that runs only while the world waits for it: one seed, one history.

The world knows what is true of each child, so that the reasons that are recorded can be checked.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import heapq
import os
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from simulated_time import SimulatedTime

from ominix import locks
from ominix.errors import Conflict, DownloadFailed, OminixError, Unavailable
from ominix.library.child import ChildUpdate
from ominix.library.downloads import MAX_RUNNING, MAX_WAITING, Downloads
from ominix.library.fetch.download import Fetch
from ominix.library.fetch.listing import File, Listing
from ominix.library.folders import Folders
from ominix.library.names import id_for
from ominix.library.records import DownloadRecord, Records, begun

REPOSITORIES = tuple(f"{owner}/m{n}" for owner in "ab" for n in range(22))  # more than may wait
FAVOURITES = REPOSITORIES[:4] + REPOSITORIES[22:24]  # what most clients ask for
MODELS = tuple(sorted({name for repo in REPOSITORIES for name in (repo[2:], repo.replace("/", "--"))}))
PIECE_BYTES = 40
CHECK_SECONDS = 10.0
ENDS_WITHIN_SECONDS = 600.0  # of the last request: every download has ended
REFUSALS = ("Busy", "Conflict", "ModelNotFound", "Unavailable", "no space")
CONFIG = b'{"model_type": "llama"}'
WRONG = ("gone", "corrupt", "not_a_model")  # what may be wrong with a repository


class Killed(BaseException):
    """The child of this thread has been killed."""


class World(SimulatedTime):
    def __init__(self, seed: int, home: Path) -> None:
        super().__init__(seed, CHECK_SECONDS)
        self.home = home
        self.folders = Folders(home, lock_seconds=0)
        self.wrong = {repo: self.dice.choice(WRONG) for repo in REPOSITORIES[10:14]}
        self.disk_full = False
        self.commits: dict[str, int] = {}  # by repository: how many there were
        self.children: list[SimulatedChild] = []
        self.lives = 0  # children so far
        self.truths: dict[str, set[str]] = {}  # model id -> reasons that its record may give
        self._open = _open_files()
        self._worker_locks: list[int] = []
        self.downloads = self._server()

    def _server(self) -> Downloads:
        return Downloads(
            self.home,
            records=self.records(),
            folders=self.folders,
            spawn=self._spawn,
            clock=lambda: self.now,
            pause=self.run,
        )

    def records(self) -> Records:
        return Records(self.home, lock_seconds=0, write=self._write)

    def _write(self, path: Path, data: bytes) -> None:
        if self.disk_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        fresh = path.with_name(".config.json.new")
        fresh.write_bytes(data)
        fresh.replace(path)

    def _spawn(self, home: Path, model_id: str, repo_id: str) -> SimulatedChild:
        self.lives += 1
        self.children.append(SimulatedChild(self, model_id, repo_id))
        living = sum(child.lives and not child.is_pull for child in self.children)
        assert living <= MAX_RUNNING, "too many children"
        return self.children[-1]

    def arrive(self) -> None:
        """Somebody does something; the next one is on the way."""
        acts: dict[Callable[[], None], float] = {
            self._ask: 6, self._burst: 0.1, self._pull: 0.5, self._look: 1, self._cancel: 2, self._delete: 2,
            self._hold: 0.5, self._let_go: 1, self._fill: 0.3, self._free: 1.5, self._restart: 0.3,
            self._push: 0.5,
        }  # fmt: skip
        (act,) = self.dice.choices(tuple(acts), tuple(acts.values()))
        try:
            act()
        except (OminixError, OSError) as error:
            name = "no space" if isinstance(error, OSError) else type(error).__name__
            assert name in REFUSALS, error
            assert name != "no space" or self.disk_full, error
            self.count(f"{act.__name__}: {name}")
        self.later(self.dice.expovariate(1.0), self.arrive)

    def _ask(self, repo_id: str = "") -> None:
        repo_id = repo_id or self.dice.choice(FAVOURITES if self.chance(0.7) else REPOSITORIES)
        is_full = len(self.downloads._running) >= MAX_RUNNING + MAX_WAITING
        was_known = is_full and self._is_recorded(repo_id)
        try:
            model_id = self.downloads.start(repo_id)
        except OminixError:
            if is_full and not was_known:
                assert not self._is_recorded(repo_id), "a refused download left a record"
            raise
        if self.chance(0.2):
            assert self.downloads.get(model_id).repo_id == repo_id
        self.count("accepted")

    def _is_recorded(self, repo_id: str) -> bool:
        return any(record.repo_id == repo_id for record in self._raw_records().values())

    def _burst(self) -> None:
        for repo_id in REPOSITORIES:
            with contextlib.suppress(Conflict, Unavailable):
                self._ask(repo_id)

    def _pull(self) -> None:
        """`ominix pull`, beside the server."""
        repo_id = self.dice.choice(FAVOURITES)
        with self.records().changing() as known:
            model_id = id_for(repo_id, known, self.folders)
            if self.folders.is_taken(model_id):
                return
            known.setdefault(model_id, begun(repo_id))
        self.lives += 1
        self.children.append(SimulatedChild(self, model_id, repo_id, is_pull=True))
        self.children[-1].follow(lambda update: None, lambda status: None)
        self.count("pulled")

    def _look(self) -> None:
        for download in self.downloads.all():
            assert download.bytes_done >= 0
            if download.state == "failed":
                known = self.truths.get(download.id, set())
                assert download.reason in known, (download, known)

    def _cancel(self) -> None:
        self.downloads.cancel(self.dice.choice(MODELS), keep_partial=self.chance(0.5))

    def _delete(self) -> None:
        self.downloads.delete(self.dice.choice(MODELS[:8] if self.chance(0.7) else MODELS))

    def _hold(self) -> None:
        """A worker loads a model."""
        there = self.folders.models.glob("[!.]*")
        model = self.dice.choice(sorted(there, key=str) or [None])
        if model is not None:
            self._worker_locks.append(locks.acquire(model, shared=True))

    def _let_go(self) -> None:
        if self._worker_locks:
            os.close(self._worker_locks.pop())

    def _fill(self) -> None:
        self.disk_full = True

    def _free(self) -> None:
        self.disk_full = False

    def _push(self) -> None:
        """A new commit in a repository: what was begun of the old one is of no use."""
        repo_id = self.dice.choice(FAVOURITES)
        self.commits[repo_id] = self.commits.get(repo_id, 0) + 1

    def _restart(self) -> None:
        """The server is stopped or killed, and its children with it; a new one finds the home as it is."""
        if self.chance(0.5):
            self.downloads.close()
        for child in self.children:
            if not child.is_pull:
                child.follow(lambda update: None, lambda status: None)  # nobody reads any more
                child.end()
        self.downloads = self._server()
        self.count("restarted")

    # What must be true at any time, and at the end.

    def _raw_records(self) -> dict[str, DownloadRecord]:
        return dict(self.records().all())

    def check(self) -> None:
        self.children = [child for child in self.children if not child.told]
        records = self._raw_records()
        assert len({record.repo_id for record in records.values()}) == len(records), "one repository twice"
        assert len(records) <= len(REPOSITORIES)
        for path in self.folders.models.glob("[!.]*"):
            files = {file.name: file.read_bytes() for file in path.iterdir()}
            record = records[path.name]
            assert files == repository(record.repo_id, record.revision or ""), path
            assert records[path.name].state == "ready", (path.name, records[path.name])
        for path in self.folders.models.glob(".downloads/*"):
            assert path.name in records, f"{path.name} grows without a record"
        assert len(self.downloads._running) <= MAX_RUNNING + MAX_WAITING

    def end(self) -> None:
        """Nobody comes any more: every download ends, and nothing is left but models and what is recorded."""
        self._agenda = [entry for entry in self._agenda if entry[2] != self.arrive]
        heapq.heapify(self._agenda)
        self.disk_full = False
        self.run(ENDS_WITHIN_SECONDS)
        for lock in self._worker_locks:
            os.close(lock)
        assert not self.downloads._running, "a download without an end"
        self.check()
        assert not self.children, "a child is left over"
        self._look()
        for download in self.downloads.all():
            assert download.state in ("ready", "failed", "cancelled", "interrupted"), download
            self.count(f"in the end {download.state}")
        assert not list(self.folders.models.glob(".trash/*")), "something is left in the trash"
        assert _open_files() == self._open, "descriptors are left open"
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("child ")]
        assert not names, names


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def repository(repo_id: str, commit: str) -> dict[str, bytes]:
    """Its files."""
    weights = random.Random(repo_id + commit).randbytes(200)
    return {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": weights}


class SimulatedHub:
    """One repository for one child. What is wrong with it, it says as `hub.Hub` would."""

    def __init__(self, world: World, child: SimulatedChild, repo_id: str) -> None:
        self.repo_id = repo_id
        self._world = world
        self._child = child
        self._wrong = world.wrong.get(repo_id)

    def listing(self) -> Listing:
        self._child.pause(self._world.dice.uniform(0.05, 1.0))
        self._may_be_away()
        if self._wrong == "gone":
            raise self._child.failure("not_found")
        commit = str(self._world.commits.get(self.repo_id, 0))
        there = repository(self.repo_id, commit)
        if self._wrong == "not_a_model":
            self._child.failure("not_a_model")
            del there["config.json"]
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in there.items()}
        files = {n: File(n, len(data), digests[n], is_sha256=True) for n, data in there.items()}
        return Listing(commit, files)

    def fetch(self, file: File, revision: str, target: Path, progress: Callable[[int], None]) -> None:
        data = repository(self.repo_id, revision)[file.name]
        if target.is_file() and target.read_bytes() == data:
            return
        partial = target.with_name(f"{file.name}.{file.digest[:16]}.partial")
        have = partial.stat().st_size if partial.exists() else 0
        for start in range(have, len(data), PIECE_BYTES):
            self._child.pause(self._world.dice.uniform(0.05, 2.0))
            self._may_be_away()
            if self._world.disk_full:
                self._child.failure("no_space")
                raise OSError(errno.ENOSPC, "No space left on device")
            with partial.open("ab") as out:
                out.write(data[start : start + PIECE_BYTES])
            progress(len(data[start : start + PIECE_BYTES]))
        if self._wrong == "corrupt":
            partial.unlink()
            raise self._child.failure("corrupt")
        partial.replace(target)

    def _may_be_away(self) -> None:
        if self._world.chance(0.01):
            raise self._child.failure("offline")


class SimulatedChild:
    """What a download child may do, by chance. Implements `child.Fetcher`."""

    def __init__(self, world: World, model_id: str, repo_id: str, *, is_pull: bool = False) -> None:
        self.is_pull = is_pull
        self.told = False  # the server has heard of its end
        self._id = model_id
        self._world = world
        self._hub = SimulatedHub(world, self, repo_id)
        self._status: int | None = None
        self._killed = False
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, name=f"child {model_id}", daemon=True)

    @property
    def lives(self) -> bool:
        return self._status is None

    def follow(self, on_update: Callable[[ChildUpdate], None], on_end: Callable[[int], None]) -> None:
        is_new = not hasattr(self, "_on_end")
        self._on_update, self._on_end = on_update, on_end
        if is_new:
            self._world.later(self._world.dice.uniform(0.05, 0.5), self._begin)

    def end(self) -> None:
        """Kill it, and wait."""
        self._killed = True
        if self.lives and self._thread.is_alive():
            self._resume()
        elif self.lives:
            self._end(-9)

    def _begin(self) -> None:
        if not self._killed:
            self._thread.start()
            self._wait_for_it()

    # On the world's side.

    def _resume(self) -> None:
        if self.lives:
            self._turn.release()
            self._wait_for_it()

    def _wait_for_it(self) -> None:
        assert self._back.acquire(timeout=20), "a child does not pause"

    def _end(self, status: int) -> None:
        self._status = status
        self._world.later(self._world.dice.choice((0.0, 0.1, 2.0)), lambda: self._tell_end(status))

    def _tell_end(self, status: int) -> None:
        assert not self.told, "a child ended twice"
        self.told = True
        self._on_end(status)

    # On the child's side: its thread, which runs while the world waits for it.

    def pause(self, seconds: float) -> None:
        """The world goes on meanwhile. The child may never return from here."""
        self._world.later(seconds, self._resume)
        self._back.release()
        self._turn.acquire()
        if self._killed:
            raise Killed
        fate = self._world.dice.random()
        if fate < 0.01:
            self._world.count("child killed")
            raise Killed
        if fate < 0.015:
            self.failure("internal")
            self._world.count("child crashed")
            raise RuntimeError("a bug")

    def failure(self, reason: str) -> DownloadFailed:
        """From now on this may be said of the download."""
        self._world.truths.setdefault(self._id, set()).add(reason)
        return DownloadFailed(reason, f"simulated: {reason}")

    def _say(self, line: dict[str, object]) -> None:
        update = ChildUpdate(**line)  # type: ignore[arg-type]  # as it comes out of JSON
        self._world.later(0.0, lambda: self._on_update(update))

    def _live(self) -> None:
        world = self._world
        fetch = Fetch(
            world.home,
            self._id,
            self._hub,
            records=world.records(),
            lock_seconds=0,
            free_bytes=lambda folder: 0 if world.disk_full else 1 << 40,
            say=self._say,
            clock=lambda: world.now,
        )
        status = 0
        try:
            fetch.run()
            self._say({"state": "ready"})
        except DownloadFailed as failure:
            self.failure(failure.reason)
            self._say({"state": "failed", "reason": failure.reason, "message": failure.message})
            status = 1
        except locks.Held:
            self.failure("held")
            self._say({"state": "failed", "reason": "held", "message": "held"})
            status = 1
        except Killed:
            status = -9
        except BaseException as error:  # a traceback, in a real child
            assert isinstance(error, (OSError, RuntimeError)), error
            self.failure("internal")
            status = 1
        finally:
            self._end(status)
            self._back.release()


def live(seed: int, seconds: float) -> World:
    """One world's life, from its first client to its last download's end."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a hundred thousand small writes
    with tempfile.TemporaryDirectory(prefix="ominix-simulated-", dir=memory) as folder:
        world = World(seed, Path(folder) / "home")
        try:
            world.arrive()
            world.run(seconds)
            world.end()
        except BaseException as error:
            error.add_note(f"replay with: python -m tools.simulate downloads --seed {seed}")
            raise
    return world
