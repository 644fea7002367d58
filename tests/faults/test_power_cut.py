"""After a power cut in mid-swap the guest comes back with drivers and services whole, and swaps again."""

from __future__ import annotations

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.faults.power_cut import CUT_POINTS, CutPoint, cut_power
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.standin_view import DRIVE_C

IN_MID_SWAP = next(point for point in CUT_POINTS if point.moment == "SwapSwitched:2")


def image(machine: QemuMachine, name: str) -> str:
    for folder in ("windows/system32/drivers", "hotswap"):
        for each in machine.control.files(f"{DRIVE_C}/{folder}", deadline=Deadline.after(20)):
            if each.startswith(name):
                return f"{DRIVE_C}/{folder}/{each}"
    raise AssertionError(f"no {name} in the guest")


def test_the_guest_comes_back_whole_and_swaps_again(build: DriverBuild) -> None:
    outcome = cut_power(build, IN_MID_SWAP)
    assert outcome.problems == ()
    assert outcome.verdict == "pass"


def tear(machine: QemuMachine) -> None:
    machine.control.put(image(machine, "hotswap_v2"), b"MZ torn", deadline=Deadline.after(20))


def lose(machine: QemuMachine) -> None:
    machine.control.ask("remove", image(machine, "hotswap_v1"), deadline=Deadline.after(20))


@pytest.mark.parametrize(("spoil", "told"), [(tear, "is torn"), (lose, "is not")])
def test_a_guest_that_came_back_half_is_seen(build: DriverBuild, spoil: object, told: str) -> None:
    outcome = cut_power(build, CutPoint("in the drain", "SwapStalled:2"), spoil=spoil)  # type: ignore[arg-type]
    assert any(told in problem for problem in outcome.problems), outcome
    assert outcome.verdict == "not run"
