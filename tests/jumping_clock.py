"""Runs a Python command whose wall clock jumps: `jumping_clock.py FILE python -m MODULE ...`.

FILE holds the seconds that the clock is ahead, as text, and may be written at any time. Monotonic clocks are
left alone, as the system leaves them when somebody sets the time.
"""

from __future__ import annotations

import os
import runpy
import sys
import time

offset = os.open(sys.argv[1], os.O_RDONLY)
true_time = time.time
time.time = lambda: true_time() + float(os.pread(offset, 32, 0) or 0)
sys.argv = sys.argv[4:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
