"""A world of simulated processes and clients around a real pool: one thread, one seed, a clock that jumps.

Processes die at any message, hang, fail to load, refuse to start; clients come, read, leave; memory grows.
The world itself says what is true of each process, so that the reasons that clients are given can be
checked.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from simulated_time import SimulatedTime

from ominix.errors import Busy, OminixError, Unavailable
from ominix.wire.control import Batch, Beat, Cancel, Command, Ending, EngineSpec, Loadable, Loaded, Submit
from ominix.wire.events import LAST, ChatDone, Delta, Event, Failed, Refused, Started
from ominix.wire.jobs import ChatJob
from ominix.wire.outbox import OutboxFull
from ominix.workers import ordered_lock
from ominix.workers.pool import MAX_WORKERS, Pool, Residency
from ominix.workers.process import LEAST_LOAD_STALL_SECONDS, Observer, WorkerProcess
from ominix.workers.stream import Stream

MODELS = tuple("abcdef")
PINNED = frozenset("a")
SLOTS = 3
STALL_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 20.0
BUDGET_BYTES = 1000
TICK_SECONDS = 0.5
GRACE_SECONDS = 4 * TICK_SECONDS  # within which news of memory must have had their effect
JOB = ChatJob(messages=())


class World(SimulatedTime):
    def __init__(self, seed: int) -> None:
        super().__init__(seed, TICK_SECONDS)
        self.processes: list[SimulatedProcess] = []
        self.lives = 0  # processes so far
        self.clients: list[Client] = []
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._over_budget_since: float | None = None
        self.pool = Pool(
            jobs_per_worker=SLOTS,
            stall_seconds=STALL_SECONDS,
            residency=Residency(BUDGET_BYTES, KEEP_ALIVE_SECONDS, PINNED),
            spawn=self._spawn,
            clock=lambda: self.now,
        )

    def _spawn(self, name: str, spec: EngineSpec) -> SimulatedProcess:
        self.lives += 1
        self.processes.append(SimulatedProcess(self, name, spec))
        return self.processes[-1]

    def arrive(self) -> None:
        """A client comes, now and then an operator; the next one is on its way."""
        if self.chance(0.03):
            self._unload()
        else:
            self.clients.append(Client(self, self.dice.choice(MODELS)))
        self.later(self.dice.expovariate(0.7), self.arrive)

    def _unload(self) -> None:
        try:
            self.pool.unload(self.dice.choice(MODELS))
        except OminixError as error:
            self.count(f"unload: {error.code}")

    def check(self) -> None:
        self.check_workers()
        self._check_budget()
        self.processes = [process for process in self.processes if not process.ended]

    def check_workers(self) -> None:
        living = [process for process in self.processes if process.lives]
        assert len(living) <= MAX_WORKERS, [process.name for process in living]
        assert len({process.name for process in living}) == len(living), "two workers for one model"
        for process in living:
            assert len(process.aboard) <= SLOTS

    def _check_budget(self) -> None:
        """Past the budget no model stays idle for long beside another, unless it is pinned."""
        workers = {name: w for name, w in self.pool._alive("").items() if not w.is_over}
        used = sum(self.pool._needs[name] for name in workers)
        idle = [n for n, w in workers.items() if w.loaded and not w.jobs_aboard and n not in PINNED]
        if used <= BUDGET_BYTES or not idle or len(workers) == 1:
            self._over_budget_since = None
        elif self._over_budget_since is None:
            self._over_budget_since = self.now
        assert self._over_budget_since is None or self.now - self._over_budget_since < GRACE_SECONDS

    def end(self) -> None:
        """Close the pool, then let everybody read what came last."""
        self.pool.close()
        self.run(60.0)
        for client in self.clients:
            client.read()
            assert client.outcome, "a job without an end"
        assert self.pool.jobs_aboard == 0
        assert not self.processes, "a process is left over"
        self.clients.clear()


class Client:
    """Submits one job, reads its stream now and then, may leave before its end."""

    def __init__(self, world: World, name: str) -> None:
        self.outcome = ""
        self._world = world
        self._patience = float("inf") if world.chance(0.2) else world.dice.expovariate(1 / 30.0)
        self._come = world.now
        model = Loadable(name, world.dice.choice((50, 200, 400)), EngineSpec("simulated", ""))
        try:
            self._stream = world.pool.submit(model, JOB)
        except (Busy, Unavailable) as error:
            self._end(type(error).__name__)
            return
        self._process = next(p for p in reversed(world.processes) if p.name == name)
        world.streams.add(self._stream)
        world.later(world.dice.random(), self.read)

    def read(self) -> None:
        if self.outcome:
            return
        if self._world.now - self._come > self._patience:
            self._stream.close()
            self._end("left")
            return
        try:
            events = self._stream.get(0.0)
        except OminixError as error:
            self._world.count(self._process.true_reason(error.message))
            self._end(type(error).__name__)
            return
        if self._stream.ended:
            assert isinstance(events[-1], ChatDone)
            self._end("answered")
        else:
            self._world.later(self._world.dice.random(), self.read)

    def _end(self, outcome: str) -> None:
        assert not self.outcome, "a job ended twice"
        self.outcome = outcome
        self._world.count(outcome)


class SimulatedProcess:
    """What a worker may do, by chance. Implements `process.Process`."""

    def __init__(self, world: World, name: str, spec: EngineSpec) -> None:
        assert spec.slots == SLOTS
        self.name = name
        self.pid = 0
        self.aboard: set[int] = set()
        self.ended = False
        self.asked_to_die = False
        self.truths: list[str] = []  # what may be said of its end
        self._world = world
        self._hangs = False
        self._loaded = False
        self._bytes = world.dice.choice((50, 200, 400, 700))

    @property
    def lives(self) -> bool:
        return not self.ended and not self.asked_to_die

    def start(self, observer: Observer) -> None:
        assert isinstance(observer, WorkerProcess)
        assert not ordered_lock.held()
        self._world.check_workers()
        self._observer = observer
        if self._world.chance(0.2):  # somebody else submits while it is being spawned
            self._world.clients.append(Client(self._world, self.name))
        if self._world.chance(0.02):
            self.ended = True
            self.truths.append("could not be started: Resource temporarily unavailable")
            raise OSError(11, "Resource temporarily unavailable")
        fate = self._world.dice.random()
        if fate < 0.05:
            self._world.later(0.5, lambda: self._say(Ending("could not be loaded: no weights")))
            self.truths.append("could not be loaded: no weights")
        elif fate < 0.10:
            self._world.later(0.5, lambda: self._die("died of SIGILL"))
        elif fate < 0.11:
            self._hangs = True
            self.truths.append(f"could not be loaded: no progress for {LEAST_LOAD_STALL_SECONDS:g} s")
        else:
            self._world.later(self._world.dice.uniform(0.1, 3.0), self._load)
        self._world.later(TICK_SECONDS, self._tick)

    def _load(self) -> None:
        self._loaded = True
        self._say(Loaded(self._bytes))
        for job_id in sorted(self.aboard):
            self._world.later(0.1, lambda job_id=job_id: self._work(job_id, 0))

    def send(self, command: Command, descriptors: Sequence[int] = (), *, urgent: bool = False) -> None:
        assert not ordered_lock.held()
        if self.ended:
            raise BrokenPipeError
        if not urgent and self._world.chance(0.01):
            raise OutboxFull
        if self._world.chance(0.01):  # it dies while the command is on its way
            self._die("died of SIGBUS")
            raise BrokenPipeError
        if isinstance(command, Submit):
            self.aboard.add(command.job_id)
            if self._loaded:
                self._world.later(0.1, lambda: self._work(command.job_id, 0))
        elif isinstance(command, Cancel):
            self.aboard.discard(command.job_id)

    def kill(self) -> None:
        if not self.asked_to_die:
            self.asked_to_die = True
            self._world.later(self._world.dice.choice((0.0, 0.1, 6.0)), lambda: self._die("died of SIGKILL"))

    def join(self, timeout_seconds: float) -> None:
        assert not ordered_lock.held()

    def _work(self, job_id: int, step: int) -> None:
        """One message about a job that is aboard."""
        if self._hangs or not self.lives or job_id not in self.aboard:
            return
        fate = self._world.dice.random()
        if fate < 0.02:
            self._die(self._world.dice.choice(("died of SIGSEGV", "ended with exit code 1")))
        elif fate < 0.03:
            self._die("sent something that is no message and was stopped")
        elif fate < 0.04:
            self.truths.append("failed with RuntimeError")
            self._say(Ending("failed with RuntimeError"))
        elif fate < 0.05:
            self._hangs = True
            self.truths.append(f"gave no sign of life for {STALL_SECONDS:g} s and was stopped")
        else:
            self._answer(job_id, step)

    def _answer(self, job_id: int, step: int) -> None:
        event: Event = Started() if step == 0 else Delta("x")
        if step > self._world.dice.randint(1, 6):
            event = self._world.dice.choice(
                (ChatDone(1, step), ChatDone(1, step), Refused("no"), Failed("no"))
            )
        if isinstance(event, LAST):
            self.aboard.discard(job_id)
            self._bytes = max(50, self._bytes + self._world.dice.choice((-50, 0, 100)))
        else:
            pause = self._world.dice.uniform(0.05, 1.0)
            self._world.later(pause, lambda: self._work(job_id, step + 1))
        self._say(Batch([(job_id, event)]))
        if self._world.chance(0.3):
            self._say(Beat(self._bytes))

    def _say(self, report: Loaded | Beat | Batch | Ending) -> None:
        if not self.ended and not self._observer.is_over:
            self._observer.on_message(report)

    def _tick(self) -> None:
        if not self.ended:
            self._observer.on_quiet()
            self._world.later(TICK_SECONDS, self._tick)

    def _die(self, cause: str) -> None:
        if not self.ended:
            self.ended = True
            if not self.asked_to_die:
                self.truths.append(cause)
            self._observer.on_end(cause)
            assert self.name not in PINNED or "unloaded" not in (self._observer.end_reason or "")

    def true_reason(self, message: str) -> str:
        """The reason in what a job of this process was told; it must be true of the process."""
        message = message.removesuffix("; another request may be why: try again")
        truths = ("no", "the server is shutting down", *self.truths)
        found = [truth for truth in truths if message.endswith(truth)]
        assert found, (message, self.truths)
        return found[-1]
