"""Atheris makes the inputs: it sees which lines of ominix each reaches, and keeps those that reach new ones.

Needs `pip install atheris` (Linux, Python 3.11 to 3.13). Python code alone is watched: codecs gain nothing.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from tools.fuzzing import mutator


def fuzz(name: str, seconds: int, seed: int, folder: str) -> NoReturn:
    """Ends the process: with 0 when the time is over, otherwise there is a finding and its input in a file.

    `folder`: where inputs are kept meanwhile.
    """
    try:
        import atheris  # type: ignore[import-not-found, unused-ignore]  # not in the test environment
    except ImportError:
        sys.exit("tools/fuzz --guided needs Atheris: .venv/bin/pip install atheris")
    with atheris.instrument_imports(include=["ominix"]):
        from tools.fuzzing.targets import TARGETS

        target = TARGETS[name]()

        def one(data: bytes) -> None:
            with contextlib.suppress(*target.refusals):
                target.read(data)

        one(target.corpus[0])  # what is imported late is watched, too
    for number, data in enumerate(target.corpus):
        (Path(folder) / str(number)).write_bytes(data)
    findings = f"{tempfile.gettempdir()}/ominix-fuzz-{name}-"
    bounds = (
        f"-max_total_time={seconds}",
        f"-max_len={mutator.MAX_BYTES}",
        "-timeout=60",
        "-rss_limit_mb=4096",
    )
    told = ("-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={findings}", f"-seed={seed + 1}")
    atheris.Setup([name, *bounds, *told, folder], one)
    atheris.Fuzz()
    sys.exit(0)
