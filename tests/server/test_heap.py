from __future__ import annotations

import sys

import pytest

from ominix.server import heap


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone keeps what is freed")
def test_the_setting_is_taken():
    assert heap.return_large_blocks()
