"""Where the threads of a driver are that does not answer, while it lives: in a real guest."""

from __future__ import annotations

import pytest

from hotswap.conformance.guest import start_conformance
from hotswap.conformance.objects import Condition
from hotswap.conformance.requests import Behave
from hotswap.conformance.swap_rig import Extension
from hotswap.deadline import Deadline
from hotswap.driver.hang import Hang, HungThread, read_hang
from hotswap.errors import LabFault
from hotswap.machine.wine import WineMachine
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine


@pytest.fixture
def lab(machine: GuestMachine) -> Lab:
    return machine.lab()


def look(lab: Lab, image: str) -> Hang:
    assert isinstance(lab.machine, WineMachine)
    dump = lab.machine.live_dump(image, Deadline.after(30))
    return read_hang(dump, [built.path for built in lab.build.drivers.values()], lab._guest_file)


def names(thread: HungThread) -> list[str]:
    return [function.partition(" ")[0] for function in thread.functions]


def test_a_call_that_stays_is_told_through_its_wrapper_and_goes_on_afterwards(lab: Lab, machine: GuestMachine) -> None:
    c = start_conformance(lab, machine.build)
    c.reset()
    extension = Extension(c)
    c.run(Behave(1, 0, gate_before=0))
    stays = extension.begin_call(lane=3)
    c.wait(Condition.at_gate(0))
    hang = look(lab, "conformance.sys")
    (busy,) = [thread for thread in hang.threads if not thread.idle]
    told = names(busy)
    assert told[:3] == ["GateWait", "EndpointAct", "EndpointRun"]
    assert told.index("EndpointRun") < told.index("DpWrapperCall") < told.index("LaneThread")
    assert hang.headline.startswith(f"thread 0x{busy.id:x} in GateWait gate.c:")
    assert "waits for work" in hang.text
    c.open_gate(0)
    assert stays.result().status == 0
    assert look(lab, "conformance.sys").headline == "no thread is at work in a driver"
    c.reset()


def test_an_image_that_no_driver_host_has_is_a_fault_of_the_lab(lab: Lab) -> None:
    assert isinstance(lab.machine, WineMachine)
    with pytest.raises(LabFault, match=r"no-such\.sys.*1168"):
        lab.machine.live_dump("no-such.sys", Deadline.after(30))
