"""OpenBLAS's threads, as many as pay."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from ominix.engines import backend, threads
found = backend.prepare()
tuned = threads.find()
assert (tuned is None) == (found.blas is None or "openblas" not in found.blas), found
if tuned:
    tuned.tune()
    assert 1 <= tuned.now <= tuned.most
    assert not tuned.due
    assert (tuned._c == threads.SIZE).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Metal needs no BLAS")
def test_a_number_of_threads_is_found_and_products_are_right():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)

    assert done.stderr == ""
