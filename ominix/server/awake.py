"""A Mac that is left alone goes to sleep, and with it whoever waits for an answer: not while jobs are aboard.

Asks IOKit for what `caffeinate -i` asks for. A closed lid still sends the Mac to sleep. Other systems are
left alone.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable
from typing import Protocol

RELEASE_SECONDS = 10.0  # after the last job: many short ones are one reason to stay awake
_FRAMEWORKS = "/System/Library/Frameworks/{0}.framework/{0}"
_UTF8 = 0x08000100  # kCFStringEncodingUTF8
_LEVEL_ON = 255  # kIOPMAssertionLevelOn
_KIND, _NAME = b"PreventUserIdleSystemSleep", b"ominix computes answers"

log = logging.getLogger("ominix.server")


class Power(Protocol):
    def hold(self) -> int | None:
        """Keep the machine awake; the number to let go by, None if the system refuses."""

    def release(self, number: int) -> None: ...


class Awake:
    """Told again and again whether there is work; the machine's state follows."""

    def __init__(self, power: Power | None) -> None:
        self._power = power
        self._held: int | None = None
        self._worked_at = 0.0

    def look(self, has_work: Callable[[], bool], now: float) -> None:
        """`now`: seconds of a clock that never goes back."""
        if self._power is None:
            return
        if has_work():
            self._worked_at = now
            if self._held is None:
                self._held = self._power.hold()
                if self._held is None:
                    log.warning("the system lets nobody keep it awake: it may fall asleep over long work")
                    self._power = None
        elif self._held is not None and now - self._worked_at >= RELEASE_SECONDS:
            self._power.release(self._held)
            self._held = None


def power_of_this_machine() -> Power | None:
    return IOKit() if sys.platform == "darwin" else None


class IOKit:
    """IOPMAssertionCreateWithName and IOPMAssertionRelease of <IOKit/pwr_mgt/IOPMLib.h>."""

    def __init__(self) -> None:
        self._foundation = ctypes.CDLL(_FRAMEWORKS.format("CoreFoundation"))
        self._iokit = ctypes.CDLL(_FRAMEWORKS.format("IOKit"))
        self._foundation.CFStringCreateWithCString.restype = ctypes.c_void_p
        self._foundation.CFStringCreateWithCString.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_uint32,
        ]
        string, number = ctypes.c_void_p, ctypes.c_uint32
        self._iokit.IOPMAssertionCreateWithName.argtypes = [string, number, string, ctypes.POINTER(number)]
        self._iokit.IOPMAssertionRelease.argtypes = [number]

    def hold(self) -> int | None:
        kind, name = (
            self._foundation.CFStringCreateWithCString(None, text, _UTF8) for text in (_KIND, _NAME)
        )
        held = ctypes.c_uint32(0)
        failed = self._iokit.IOPMAssertionCreateWithName(kind, _LEVEL_ON, name, ctypes.byref(held))
        return None if failed else held.value

    def release(self, number: int) -> None:
        self._iokit.IOPMAssertionRelease(number)
