"""What a person sees while a command works: on standard error, and nothing if that is no terminal."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

from ominix.cli.terminal import is_watched, printable

NAME_COLUMNS = 30
TURN_SECONDS = 0.1
PATIENCE_SECONDS = 0.3  # what is shorter is not worth a word
CLEAR_LINE = "\r\033[K"


class Spinner:
    """`with Spinner("loading a model"):` shows that and the seconds, until the block or `stop` ends it."""

    def __init__(self, text: str) -> None:
        self._text = printable(text)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def __enter__(self) -> Spinner:
        if is_watched():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """The line is empty afterwards. May be called again."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _turn(self) -> None:
        begun = time.monotonic()
        if self._over.wait(PATIENCE_SECONDS):
            return
        with contextlib.suppress(OSError, ValueError):  # the terminal has gone
            for mark in itertools.cycle("|/-\\"):
                text = self._text[: shutil.get_terminal_size().columns - len("| ... (12345 s)")]
                seconds = time.monotonic() - begun
                sys.stderr.write(f"{CLEAR_LINE}{mark} {text} ({seconds:.0f} s)")
                sys.stderr.flush()
                if self._over.wait(TURN_SECONDS):
                    break
            sys.stderr.write(CLEAR_LINE)
            sys.stderr.flush()


class BytesBar:
    """How much of a download is here. Appears with the first `show`; at `close` it stays if all is here."""

    _options: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}  # tqdm's

    def __init__(self, name: str) -> None:
        self._name = printable(name)[:NAME_COLUMNS]
        self._tqdm: Any = None  # tqdm has no types

    def show(self, done: float, total: float | None) -> None:
        form = self._format(done, total)
        if self._tqdm is None:
            # What is there before we begin does not count for the speed. disable=None: if no terminal.
            known = {"desc": self._name, "initial": done, "total": total, "bar_format": form, "disable": None}
            self._tqdm = tqdm(**known, **self._options)
        self._tqdm.total, self._tqdm.bar_format = total, form
        self._tqdm.update(done - self._tqdm.n)

    def close(self) -> None:
        if self._tqdm is not None:
            self._tqdm.leave = self._stays(self._tqdm.n, self._tqdm.total)
            self._tqdm.close()

    def _format(self, done: float, total: float | None) -> str | None:
        """None: tqdm's own, with amounts, speed and time."""
        return None

    def _stays(self, done: float, total: float | None) -> bool:
        return bool(total) and done >= (total or 0)


class AudioBar(BytesBar):
    """How much of a recording is done, how many times real time that is, and how long it will take."""

    _options: dict[str, Any] = {}

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._first: tuple[float, float] | None = None  # when the first news came, and how much was done

    def _format(self, done: float, total: float | None) -> str:
        pace = self._pace(done, total)
        if not total:
            return f"{{desc}}: {_clock(done)}{pace}"
        return f"{{desc}}: {{percentage:3.0f}}%|{{bar}}| {_clock(done)}/{_clock(total)}{pace}"

    def _pace(self, done: float, total: float | None) -> str:
        """Since the first news: the time that the model took to load does not count."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        begun, before = self._first
        if done <= before:
            return ""
        speed = (done - before) / max(now - begun, 1e-3)
        left = f", {_clock((total - done) / speed)} left" if total and done < total else ""
        return f", {speed:.1f}x real time{left}"

    def _stays(self, done: float, total: float | None) -> bool:
        return False  # the text, or the name of its file, takes its place


def _clock(seconds: float) -> str:
    minutes = int(max(0.0, seconds)) // 60
    hours = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    return f"{hours}:{int(max(0.0, seconds)) % 60:02}"
