"""What mlx will compute on, made ready before anything imports mlx.

On Linux without CUDA the mlx wheel brings a reference BLAS (about 2 GFLOP/s). An OpenBLAS that is
loaded first, with its names visible to all, answers mlx's float32 products instead, 60 to 100 times
as fast. Knows nothing of models; never imports mlx.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ominix import python_child
from ominix.cpu import alias_library

_MLX_CALLS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")  # all that libmlx takes from a BLAS
_OURS = ("cblas_sgemv", "openblas_get_num_threads", "openblas_set_num_threads")
# Fedora's with threads; Debian's; any
_SYSTEM_LIBRARIES = ("libopenblasp.so.0", "libopenblas.so.0", "libopenblas.so")
_CUDA_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
_CUDA_WHEELS = ("mlx-cuda", "mlx-cuda-12", "mlx-cuda-13")
_CUDA_PROBE_SECONDS = 60.0
# What mlx takes from the environment. Float32 is multiplied as such: an M5 would take TF32, with ten bits of
# fraction. Fast synch can wedge the GPU until the next boot (ml-explore/mlx, issues 3142 and 3830).
_MLX_DEFAULTS = {"MLX_ENABLE_TF32": "0"}
_MLX_DROPPED = ("MLX_METAL_FAST_SYNCH",)
_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_ADVICE = "pip install scipy-openblas32 (or: apt-get install libopenblas0)"


FAST, PLAIN = "fast", "plain"  # --cpu: this package's layers, or mlx-lm's own on the weights as they are


@dataclass(frozen=True)
class Backend:
    kind: str  # "metal", "cuda" or "cpu"
    blas: str | None = None  # what answers float32 products on the CPU; None: mlx's own
    advice: str | None = None  # what to install for speed
    mode: str = FAST

    @property
    def wants_float32(self) -> bool:
        """A fast BLAS multiplies float32 alone: other weights are best turned into it."""
        return self.blas is not None and self.mode == FAST


def prepare(mode: str = FAST) -> Backend:
    """Call before mlx is imported; again at any time, to be told the same. `mode`: FAST or PLAIN."""
    for name, value in _MLX_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in _MLX_DROPPED:
        os.environ.pop(name, None)
    if sys.platform == "darwin":
        return Backend("metal")
    if has_cuda():
        return Backend("cuda")
    _set_threads()
    blas = _load_blas()
    return Backend("cpu", blas, advice=None if blas else _ADVICE, mode=mode)


def prepare_engine(log: logging.Logger, mode: str) -> Backend:
    """`prepare`, with what came of it in the engine's log."""
    found = prepare(mode)
    log.info("computing on %s, products by %s", found.kind, found.blas or "mlx itself")
    log.info(
        "in force: %s", " ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("MLX_"))
    )
    if found.advice:
        log.warning("this is slow: %s", found.advice)
    return found


def has_cuda(devices: Sequence[str] = _CUDA_DEVICES, wheels: Sequence[str] = _CUDA_WHEELS) -> bool:
    """The device is asked: `mlx-cpu` and `mlx-cuda-*` own the same library file, and the last installed wins.

    In a child, since mlx must not be imported here before a BLAS is loaded.
    """
    if not any(Path(device).exists() for device in devices) or not any(map(_is_installed, wheels)):
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return python_child.start("ominix.cpu.cuda").wait(_CUDA_PROBE_SECONDS) == 0
    return False


def _is_installed(wheel: str) -> bool:
    try:
        metadata.distribution(wheel)
    except metadata.PackageNotFoundError:
        return False
    return True


def _load_blas() -> str | None:
    if _is_global("cblas_sgemm"):
        return "loaded already"
    wheel = _load_wheel()
    return wheel or next(filter(_is_loaded, _SYSTEM_LIBRARIES), None)


def _is_global(symbol: str) -> bool:
    try:
        ctypes.CDLL(None)[symbol]
    except AttributeError:
        return False
    return True


def _load_wheel() -> str | None:
    """PyPI's scipy-openblas32: needs no other library, and its names all begin with `scipy_`."""
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        return None
    path = str(Path(spec.origin).parent / "lib" / "libscipy_openblas.so")
    try:
        library = ctypes.CDLL(path)
        calls = {
            name: ctypes.cast(library[f"scipy_{name}"], ctypes.c_void_p) for name in (*_MLX_CALLS, *_OURS)
        }
        alias_library.expose({name: call.value or 0 for name, call in calls.items()})
    except (OSError, AttributeError):  # not for this machine, or of another layout
        return None
    return path


def _is_loaded(name: str) -> bool:
    try:
        ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError:  # not there
        return False
    return True


def _set_threads() -> None:
    """One thread a physical core: a second one on the same core only takes turns with the first.

    None for numpy's own OpenBLAS, whose threads would wait in loops beside those that compute.
    """
    if not {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        importlib.import_module("numpy")
        os.environ["OPENBLAS_NUM_THREADS"] = str(_cores())


def _cores() -> int:
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    siblings = {_first_line(_SIBLINGS.format(cpu)) or str(cpu) for cpu in cpus}
    quota, _, period = _first_line("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():  # "max" where a container has no bound
        return max(1, min(len(siblings), int(quota) // int(period)))
    return len(siblings)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
