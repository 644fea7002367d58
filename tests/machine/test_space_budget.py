"""What machines take on the disk is held against a budget: what is really there, at their start and while they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import LabFault, UsageError
from hotswap.machine.lease import leases
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_space import over_budget, require_room, taken
from hotswap.machine.storage import MIB
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

START = 300.0


def machine_of(home: Path, name: str, *, holds: int, size: int) -> Path:
    folder = home / name
    folder.mkdir(parents=True)
    with (folder / "disk.qcow2").open("wb") as disk:
        disk.write(b"x" * holds)
        disk.truncate(size)
    (folder / "console.log").write_bytes(b"x" * 3 * MIB)
    return folder


def test_what_counts_are_the_bytes_that_a_disk_really_takes(tmp_path: Path) -> None:
    folder = machine_of(tmp_path, "one", holds=MIB, size=1 << 40)
    assert taken(folder) == pytest.approx(MIB, abs=65536)
    assert over_budget(folder, 2) is None
    machine_of(tmp_path, "two", holds=2 * MIB + 65536, size=2 * MIB + 65536)
    assert over_budget(tmp_path / "two", 2) is not None
    assert taken(tmp_path / "none") == 0


def test_another_machine_needs_room_in_the_budget_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_room(tmp_path / "none")
    for name in ("one", "two"):
        machine_of(tmp_path, name, holds=2 * MIB, size=1 << 30)
    monkeypatch.setenv("HOTSWAP_OVERLAY_MIB", "5")
    require_room(tmp_path)
    monkeypatch.setenv("HOTSWAP_OVERLAY_MIB", "4")
    with pytest.raises(LabFault, match=r"take 4 MiB, the budget of all is 4 MiB; stop some"):
        require_room(tmp_path)
    monkeypatch.setenv("HOTSWAP_OVERLAY_MIB", "a lot")
    with pytest.raises(UsageError, match="HOTSWAP_OVERLAY_MIB is 'a lot'; it is a whole number"):
        require_room(tmp_path)


@pytest.fixture
def small(build: DriverBuild) -> QemuMachine:
    """A machine whose disks may take 24 MiB."""
    machine = QemuMachine(load_profile("standin"))
    object.__setattr__(machine.profile, "overlay_mib", 24)
    machine.expect_agent(build.agent)
    return machine


def test_a_guest_that_writes_more_than_its_budget_is_ended_and_that_is_what_every_call_says(
    small: QemuMachine, build: DriverBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline = Deadline.after(START)
    with small as machine:
        machine.start(deadline)
        transport = machine.connect_agent(build.agent, deadline)
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            agent.put(b"x" * MIB, r"C:\\hotswap\\little", deadline=deadline)
            assert machine.alive() is None
            (process,) = machine.folder.processes()
            # Nobody asks for the machine meanwhile: QEMU itself tells that its disk grows.
            for number in range(12):
                try:
                    machine.control.put(f"/root/{number}", bytes([number]) * 4 * MIB, deadline=deadline)
                except LabFault:
                    break
            Deadline.after(20).wait_for(lambda: not process.alive(), "QEMU to be ended")
            with pytest.raises(LabFault, match=r"more than its budget of 24 MiB"):
                agent.ping(deadline=deadline)
        assert "was ended: its disks take" in (machine.alive() or "")
        with pytest.raises(LabFault, match="budget of 24 MiB"):
            machine.processes()
        monkeypatch.setenv("HOTSWAP_OVERLAY_MIB", "20")
        other = QemuMachine(load_profile("standin"))
        other.expect_agent(build.agent)
        with pytest.raises(LabFault, match="no room for another QEMU machine"):
            other.start(Deadline.after(START))
        assert other.id not in {lease.id for lease in leases()}
        assert not other.folder.path.exists()
