"""The progress bars of commands: tqdm on standard error, and nothing if that is no terminal."""

from __future__ import annotations

import time
from typing import Any

from tqdm import tqdm

NAME_COLUMNS = 30


class BytesBar:
    """How much of a download is here. Appears with the first `show`, stays as it was at `close`."""

    _options: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}  # tqdm's

    def __init__(self, name: str) -> None:
        self._name = name[:NAME_COLUMNS]
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
            self._tqdm.close()

    def _format(self, done: float, total: float | None) -> str | None:
        """None: tqdm's own, with amounts, speed and time."""
        return None


class AudioBar(BytesBar):
    """How many seconds of a recording are done, and how many times real time that is."""

    _options: dict[str, Any] = {}

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._begun = time.monotonic()

    def _format(self, done: float, total: float | None) -> str:
        speed = done / max(time.monotonic() - self._begun, 1e-3)
        amounts = f"{_clock(done)}/{_clock(total)}" if total else _clock(done)
        return f"{{desc}}: {{percentage:3.0f}}%|{{bar}}| {amounts}, {speed:.1f}x real time"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
