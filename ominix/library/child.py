"""The download child as its parent, the server or `ominix pull`, sees it.

In: the lines of JSON that it prints, see `fetch/download`. Out: updates, to its end. It ends with its parent,
since its standard input closes then, and may be killed at any moment: what it has fetched stays.
`Fetcher` is what `downloads` needs of it, so that a simulation can be one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ominix import python_child

END_SECONDS = 5.0


@dataclass(frozen=True)
class ChildUpdate:
    """One line of the child. `state`: downloading, verifying, ready or failed."""

    state: str
    done_bytes: int = 0
    total_bytes: int | None = None
    reason: str | None = None
    message: str | None = None


class Fetcher(Protocol):
    """A child that has been started."""

    def follow(self, on_update: Callable[[ChildUpdate], None], on_end: Callable[[int], None]) -> None:
        """Call the one with each update, then the other with the exit status, from another thread."""
        ...

    def end(self) -> None: ...


class Child:
    def __init__(self, home: Path, model_id: str, repo_id: str, *, log_json: bool = False) -> None:
        # stderr is the parent's: what the child logs stands in its log.
        self._process = python_child.start(
            "ominix.library.fetch.download",
            *(str(home), model_id, repo_id, *(["--log-json"] if log_json else [])),
            environ={**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1"},  # the hub hears what is wanted, no more
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def updates(self) -> Iterator[ChildUpdate]:
        """All of them, to the child's end. The last is "ready" or "failed", unless it was killed."""
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                yield ChildUpdate(**json.loads(line))
            except (ValueError, TypeError):  # cut off by a kill
                return

    def follow(self, on_update: Callable[[ChildUpdate], None], on_end: Callable[[int], None]) -> None:
        """In a thread of its own. Raises OSError where there can be none: the child has ended then."""
        try:
            threading.Thread(target=self._follow, args=(on_update, on_end), daemon=True).start()
        except RuntimeError:
            self.end()
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None

    def _follow(self, on_update: Callable[[ChildUpdate], None], on_end: Callable[[int], None]) -> None:
        for update in self.updates():
            on_update(update)
        on_end(self.wait())

    def end(self) -> None:
        """Kill it, if it lives, and wait a moment. What it has fetched stays."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a disk that hangs holds it
            self._process.wait(END_SECONDS)

    def wait(self) -> int:
        """The exit status, negative for a signal; to be called once `updates` has ended."""
        status = None
        while status is None:
            try:
                status = self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        return status
