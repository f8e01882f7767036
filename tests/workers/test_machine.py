from __future__ import annotations

import pytest

from ominix.workers import machine

GIB = 1 << 30


@pytest.mark.parametrize(
    ("memory_gib", "wired_mib", "models_gib"),
    [(8, 0, 5.33), (16, None, 10.67), (32, 0, 21.33), (64, 0, 48), (16, 13_000, 12.7), (16, 99_000, 16)],
)
def test_models_may_take_what_the_gpu_of_a_mac_may_hold(memory_gib, wired_mib, models_gib):
    asked = []

    def sysctl(name):
        asked.append(name)
        return wired_mib

    found = machine.mac_models_bytes(memory_gib * GIB, sysctl)
    assert found / GIB == pytest.approx(models_gib, rel=0.01)
    assert asked == ["iogpu.wired_limit_mb"]


def test_models_may_take_a_share_of_this_machine():
    assert 0 < machine.models_bytes() < machine.memory_bytes()
