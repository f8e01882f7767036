"""OpenBLAS's threads, as many as pay."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ctypes
from ominix.cpu import backend, threads
found = backend.prepare()
tuned = threads.find()
assert (tuned is None) == (found.blas is None or "openblas" not in found.blas), found
if tuned:
    tuned.tune()
    assert 1 <= tuned.now <= tuned.most
    assert not tuned.due
    tuned.now = tuned._said = 4
    heard = []
    for count in (1, 4, 1, 1, 4, 4):
        tuned._hear(count)
        heard.append(tuned.now)
    assert heard == [4, 4, 4, 1, 1, 4], heard  # a moment is no neighbour
    assert (tuned._c == threads.SIZE).all()
    tuned.now = tuned.most
    count = ctypes.CDLL(None)["openblas_get_num_threads"]
    with tuned.one():
        assert count() == 1
    assert count() == tuned.now
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Metal needs no BLAS")
def test_a_number_of_threads_is_found_and_products_are_right():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)

    assert done.stderr == ""
