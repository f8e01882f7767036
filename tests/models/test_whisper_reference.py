"""Whisper against transformers, computed anew: tools/test_reference, which installs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.reference
@pytest.mark.timeout(600)
def test_a_random_checkpoint_answers_as_the_reference():
    done = subprocess.run([sys.executable, "-m", "tools.reference.whisper"], capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
