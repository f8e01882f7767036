"""A child ends with its parent's end of a pipe."""

from __future__ import annotations

import subprocess
import sys


def test_the_end_of_standard_input_ends_the_process_at_whatever_it_is():
    program = "from ominix import lifeline; lifeline.end_with_stdin(); print(1, flush=True)\nwhile True: pass"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == b"1\n"
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(10) == 1
