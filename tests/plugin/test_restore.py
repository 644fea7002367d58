"""Between two tests a guest is restored by as much as the first one dirtied it; its identity and clock are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import time_ns

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import LabFault, UsageError
from hotswap.machine.clock_check import ClockOff
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.restore import RestoreLevel
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine
from hotswap.testing.restore import Dirt, RestorePolicy
from hotswap.transport.changes import GuestChanges

DRIVER, DISK, MEMORY = RestoreLevel
FORKED = {DRIVER: 0.1, DISK: 30.0, MEMORY: 1.5}
BOOTED = {DRIVER: 0.1, DISK: 30.0}
CLEAN, FILES, CRASHED = Dirt(), Dirt(disk=("a file",)), Dirt(memory=("it crashed",))


@pytest.mark.parametrize(
    ("costs", "dirt", "level"),
    [
        (FORKED, CLEAN, DRIVER),
        (FORKED, FILES, MEMORY),
        (FORKED, CRASHED, MEMORY),
        (BOOTED, CLEAN, DRIVER),
        (BOOTED, FILES, DISK),
        (BOOTED, CRASHED, MEMORY),
        ({DRIVER: 0.1, DISK: 1.0, MEMORY: 60.0}, FILES, DISK),
        ({DRIVER: 0.1}, FILES, MEMORY),
        ({}, CLEAN, MEMORY),
        (FORKED, Dirt(disk=("a file",), memory=("it crashed",)), MEMORY),
    ],
)
def test_the_cheapest_level_that_undoes_all_is_chosen(
    costs: dict[RestoreLevel, float], dirt: Dirt, level: RestoreLevel
) -> None:
    assert RestorePolicy(costs).choose(dirt) is level


def test_what_was_undone_again_is_no_change() -> None:
    changes = GuestChanges()
    changes.file_made(r"C:\A.txt")
    changes.service_made("mine")
    assert changes.left() == {r"C:\A.txt was written", "the service mine was made"}
    changes.file_removed(r"c:\a.TXT")
    changes.service_removed("MINE")
    assert changes.left() == frozenset()
    changes.program_run("cmd")
    changes.program_run("cmd")
    assert len(changes.left()) == 2, "each may have done something"


@pytest.fixture
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[GuestMachine]:
    """A guest of this test alone; booted instead of forked, where that is asked for."""
    made = GuestMachine("standin", tmp_path)
    assert isinstance(made._next, QemuMachine)
    made._next.fork = getattr(request, "param", "forked") == "forked"
    yield made
    made.close()


def test_of_a_guest_that_is_forked(guest: GuestMachine, tmp_path: Path) -> None:
    def use(number: int, what: str) -> tuple[str, Lab]:
        run = RunFolder.create(tmp_path / f"run{number}")
        with guest.driver(run, ("v1",)) as lab:
            deadline = Deadline.after(120)
            if what == "file":
                lab.agent.put(b"x", r"C:\left.txt", deadline=deadline)
            elif what == "file, removed":
                lab.agent.put(b"x", r"C:\left.txt", deadline=deadline)
                lab.agent.remove(r"C:\left.txt", deadline=deadline)
            elif what == "clock":
                assert isinstance(lab.machine, QemuMachine)
                lab.machine.control.ask("set-clock", time_ns() + 60_000_000_000, deadline=deadline)
            elif what == "name":
                assert isinstance(lab.machine, QemuMachine)
                lab.machine.control.ask("name", "another", deadline=deadline)
        run.close()
        assert isinstance(lab.machine, QemuMachine)
        return lab.machine.id, lab

    first, lab = use(1, "nothing")
    assert guest.restored == [DRIVER]
    assert use(2, "file, removed")[0] == first, "the same guest goes on"
    assert guest.restored == [DRIVER, DRIVER]
    assert use(3, "file")[0] == first
    assert guest.spent == r"C:\left.txt was written"
    assert lab.machine.alive() == "stopped"
    second, _ = use(4, "nothing")
    assert second != first, "memory: another fork"
    use(5, "clock")
    assert "restoring it (driver, for nothing but what the driver did): clock check of the guest" in (guest.spent or "")
    third, _ = use(6, "nothing")
    use(7, "name")
    assert "/proc/sys/kernel/hostname says 'another' instead of 'hs-" in (guest.spent or "")
    assert len({first, second, third}) == 3
    assert guest.restored == [DRIVER] * 4


@pytest.mark.parametrize("guest", ["booted"], indirect=True)
def test_of_a_guest_that_is_not_forked(guest: GuestMachine, tmp_path: Path, build: DriverBuild) -> None:
    run = RunFolder.create(tmp_path / "run")
    with guest.driver(run, ("v1",)) as lab:
        machine, before = lab.machine, lab.hello
        lab.agent.put(b"x", r"C:\left.txt", deadline=Deadline.after(120))
    run.close()
    assert guest.restored == [DISK]
    assert isinstance(machine, QemuMachine)
    assert machine.alive() is None
    assert machine.clock is not None, "identity and clock were set and checked again"
    assert not machine.host_path(r"C:\left.txt").exists()
    again = RunFolder.create(tmp_path / "again")
    with guest.driver(again, ("v2",)) as lab:
        assert lab.machine is machine
        assert lab.hello is not None
        assert before is not None
        assert lab.hello.computer_name == before.computer_name == machine.identity.name.upper()
        assert lab.hello.boot_id != before.boot_id
    again.close()
    assert guest.restored == [DISK, DRIVER]
    with pytest.raises(UsageError, match="another machine restores its memory"):
        machine.restore_to(MEMORY, Deadline.after(1))
    machine.control.ask("set-clock", time_ns() + 60_000_000_000, deadline=Deadline.after(30))
    with pytest.raises(ClockOff):
        machine.restore_to(DRIVER, Deadline.after(60))
    machine.kill()
    with pytest.raises(LabFault):
        machine.restore_to(DRIVER, Deadline.after(60))
