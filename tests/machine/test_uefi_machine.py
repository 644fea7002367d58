"""A guest that firmware starts: OVMF and a TPM are of the machine's own, are seen in the guest, and end with it."""

from __future__ import annotations

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.lease import leases
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract


def test_a_guest_started_by_uefi_sees_firmware_and_tpm_at_its_first_boot_and_at_later_ones(build: DriverBuild) -> None:
    deadline = Deadline.after(500)
    machine = QemuMachine(load_profile("standin-uefi"))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(deadline)
        variables = machine.folder.path / "variables.fd"
        assert variables.stat().st_size == 540672
        for boot in ("first", "second"):
            control = machine.control
            assert control.files("/sys/class/tpm", deadline=deadline) == ["tpm0"], boot
            assert control.read("/sys/class/tpm/tpm0/tpm_version_major", 10, deadline=deadline).strip() == b"2"
            assert "fw_platform_size" in control.files("/sys/firmware/efi", deadline=deadline)
            (told,) = machine.qmp.execute("query-tpm", deadline=deadline)
            assert told["model"] == "tpm-crb"
            assert len(machine.folder.processes()) == 2, "QEMU and its TPM"
            if boot == "first":
                first = machine.folder.processes()
                machine.boot_again(deadline)
                assert not any(process.alive() for process in first)
        transport = machine.connect_agent(build.agent, deadline)
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            assert agent.hello(deadline=deadline).computer_name == machine.identity.name.upper()
    assert machine.folder.processes() == []
    assert not machine.folder.path.exists()
    assert machine.id not in {lease.id for lease in leases()}
