"""tools/find_python: which Python makes the private environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "find_python"
OLD = '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.6\nexit 1\n'  # as Apple's: it runs, and is too old
NEW = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


def find(path: Path, programs: dict[str, str], **variables: str) -> tuple[int, str, str]:
    for name, text in programs.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", str(TOOL)],
        env={"PATH": str(path), **variables},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize(
    ("programs", "found"),
    [({"python3": NEW, "python3.13": NEW}, "python3"), ({"python3": OLD, "python3.12": NEW}, "python3.12")],
)
def test_the_first_that_is_new_enough_is_taken(tmp_path, programs, found):
    assert find(tmp_path, programs) == (0, found, "")


def test_none_is_said_with_what_to_do(tmp_path):
    status, _, said = find(tmp_path, {"python3": OLD})
    assert status == 1
    assert "3.11 or newer" in said and "Python 3.9.6" in said and "OMINIX_PYTHON=" in said


def test_the_one_that_was_named_is_taken_or_refused(tmp_path):
    programs = {"python3": NEW, "old": OLD, "mine": NEW}
    assert find(tmp_path, programs, OMINIX_PYTHON="mine") == (0, "mine", "")
    status, _, said = find(tmp_path, programs, OMINIX_PYTHON="old")
    assert status == 1 and "OMINIX_PYTHON is old" in said
