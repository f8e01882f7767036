from __future__ import annotations

import sys

import pytest

from ominix.server.awake import RELEASE_SECONDS, Awake, power_of_this_machine


def busy() -> bool:
    return True


def idle() -> bool:
    return False


class Machine:
    def __init__(self, refuses: bool = False) -> None:
        self.told: list[object] = []
        self.refuses = refuses

    def hold(self) -> int | None:
        self.told.append("hold")
        return None if self.refuses else 7

    def release(self, number: int) -> None:
        self.told.append(number)


def test_a_machine_stays_awake_from_the_first_job_until_a_while_after_the_last():
    machine = Machine()
    awake = Awake(machine)
    awake.look(idle, 0.0)
    assert machine.told == []
    for now in (1.0, 2.0, 2.0 + RELEASE_SECONDS):
        awake.look(busy, now)
    for now in (13.0, 11.9 + RELEASE_SECONDS):
        awake.look(idle, now)
    assert machine.told == ["hold"]
    awake.look(idle, 12.0 + RELEASE_SECONDS)
    awake.look(idle, 100.0)
    assert machine.told == ["hold", 7]
    awake.look(busy, 200.0)
    assert machine.told == ["hold", 7, "hold"]


def test_a_machine_that_refuses_is_asked_once(caplog):
    machine = Machine(refuses=True)
    awake = Awake(machine)
    for now in range(5):
        awake.look(busy, float(now))
    assert machine.told == ["hold"]
    assert "asleep" in caplog.text


@pytest.mark.skipif(sys.platform != "darwin", reason="IOKit is macOS' own")
def test_macos_can_be_asked():
    power = power_of_this_machine()
    assert power
    held = power.hold()
    assert held
    power.release(held)
