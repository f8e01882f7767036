"""The CPU backend: a fast BLAS under mlx, found without help and before mlx is imported."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from ominix.cpu import alias_library, backend

linux = pytest.mark.skipif(sys.platform != "linux", reason="Metal needs no BLAS")


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_preparing_does_not_import_mlx():
    code = "from ominix.cpu import backend; backend.prepare(); import sys; print(*sys.modules)"

    assert "mlx" not in fresh(code).split()


def test_what_is_missing_is_said():
    without = backend.Backend("cpu", None, "pip install it")
    found = backend.prepare()

    assert not without.wants_float32
    assert found.kind in ("metal", "cuda", "cpu")
    assert (found.advice is None) == (found.kind != "cpu" or found.blas is not None)


@linux
def test_products_stay_right_on_the_library_found():
    code = """
from ominix.cpu import backend
backend.prepare()
import mlx.core as mx, numpy as np
a, b = mx.random.normal((37, 65)), mx.random.normal((65, 129))
print(float(np.abs(np.array(a @ b) - np.array(a) @ np.array(b)).max()) < 1e-4)
"""
    assert fresh(code) == "True"


@linux
def test_an_alias_jumps_to_its_function():
    absolute = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p).value
    length = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value

    alias_library.expose({"ominix_test_abs": absolute, "ominix_test_strlen": length})

    assert ctypes.CDLL(None)["ominix_test_abs"](-7) == 7
    assert ctypes.CDLL(None)["ominix_test_strlen"](b"four") == 4


@linux
def test_a_fast_blas_is_found_on_linux():
    """Without one everything stays right and is 60 times slower: nothing else would notice."""
    found = backend.prepare()
    assert found.kind == "cuda" or found.blas is not None, found.advice


def test_a_cuda_wheel_alone_is_no_device(tmp_path):
    """`mlx` stands for the wheel here: it is installed, and says that it computes on no CUDA device."""
    assert not backend.has_cuda((str(tmp_path),), ("mlx",))
    assert not backend.has_cuda((str(tmp_path / "none"),), ("mlx",))


@pytest.mark.parametrize(("given", "tf32"), [({}, "0"), ({"MLX_ENABLE_TF32": "1"}, "1")])
def test_float32_is_kept_and_fast_synch_left_out_unless_the_operator_says_otherwise(monkeypatch, given, tf32):
    monkeypatch.setenv("MLX_METAL_FAST_SYNCH", "1")
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    backend.prepare()
    assert os.environ["MLX_ENABLE_TF32"] == tf32
    assert "MLX_METAL_FAST_SYNCH" not in os.environ
