"""Qwen3-ASR beside transformers itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EMBEDDED = ROOT / "ominix" / "embedded"


def compare(*arguments: str, what: str = "qwen3_asr") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"tools.reference.{what}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.reference
@pytest.mark.timeout(600)
def test_random_checkpoints_in_all_layouts_answer_as_the_reference():
    done = compare()
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.reference
@pytest.mark.timeout(600)
def test_the_embedded_model_answers_as_the_reference():
    clips = sorted(str(path) for path in (EMBEDDED / "samples").glob("*.flac"))
    assert clips
    done = compare("--model", str(EMBEDDED / "tiny-asr"), *clips)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.reference
@pytest.mark.timeout(600)
def test_random_aligners_in_all_layouts_answer_as_the_reference():
    done = compare(what="qwen3_aligner")
    assert done.returncode == 0, done.stdout + done.stderr
