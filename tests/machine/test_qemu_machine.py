"""The QEMU machine: guests forked from one that has booted, each its own, and nothing of them left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import LabFault, UsageError
from hotswap.machine.lease import leases
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.qemu_folder import QemuFolder, machines_home
from hotswap.machine.sweep import sweep
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

START = 300.0


@pytest.fixture
def deadline() -> Deadline:
    """Room for the image and the template, which the first test of all may have to make."""
    return Deadline.after(START)


@contextmanager
def forked(build: DriverBuild) -> Iterator[QemuMachine]:
    machine = QemuMachine(load_profile("standin"))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(Deadline.after(START))
        yield machine
    assert machine.folder.processes() == []
    assert not machine.folder.path.exists()
    assert machine.id not in {lease.id for lease in leases()}


def connected(machine: QemuMachine, build: DriverBuild, deadline: Deadline) -> Agent:
    transport = machine.connect_agent(build.agent, deadline)
    return Agent(transport, AgentContract.load(build.agent_contract), build.codes)


def test_forks_are_alike_and_each_has_an_identity_of_its_own(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as one, forked(build) as two:
        seen = []
        for machine in (one, two):
            with connected(machine, build, deadline) as agent:
                hello = agent.hello(deadline=deadline)
                assert hello.wine_version
                assert hello.computer_name == machine.identity.name.upper()
                name = machine.control.read("/proc/sys/kernel/hostname", 100, deadline=deadline).decode().strip()
                mac = machine.control.read("/sys/class/net/eth0/address", 100, deadline=deadline).decode().strip()
                random = machine.control.read("/proc/sys/kernel/random/uuid", 100, deadline=deadline).decode()
                host_key = machine.ssh(deadline).host_key
                ids = {"boot": hello.boot_id, "session": hello.session_id, "computer": hello.computer_name}
                seen.append({"name": name, "mac": mac, "random": random, "host key": host_key, **ids})
            assert (name, mac) == (machine.identity.name, machine.identity.mac)
            assert machine.clock is not None
            assert machine.clock.offset_error_ms < 250
        first, second = seen
        assert [what for what in first if first[what] == second[what]] == []


def test_what_a_fork_writes_no_other_sees(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as one, forked(build) as two:
        with connected(one, build, deadline) as agent:
            agent.put(b"mine", r"C:\hotswap\mine.txt", deadline=deadline)
        assert one.host_path(r"C:\hotswap\mine.txt").read_bytes() == b"mine"
        assert not two.host_path(r"C:\hotswap\mine.txt").exists()


def test_a_further_fork_takes_little_memory(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as machine, connected(machine, build, deadline) as agent:
        agent.ping(deadline=deadline)
        (qemu,) = machine.folder.processes()
        used = psutil.Process(qemu.pid).memory_full_info().uss
        assert used < 150e6, f"{used / 1e6:.0f} MB"


def test_what_runs_in_the_guest_is_seen_from_outside_windows(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as machine:
        (host, *_) = machine.driver_host_processes()
        assert any(path.name == "mountmgr.sys" for path in machine.mapped_images(host.pid))
        assert len(machine.task_ids(host.pid)) > 2
        watch = machine.watch_process(host)
        assert not watch.ended_within(0.1)
        machine.control.kill(host, deadline=deadline)
        assert watch.ended_within(10)
        assert host not in machine.driver_host_processes()
        assert machine.mapped_images(host.pid) == frozenset()
        assert machine.task_ids(host.pid) == frozenset()
        assert machine.watch_process(host).ended_within(10), "one that is gone already has ended"
        assert machine.alive() is None


def test_a_killed_machine_says_so_and_keeps_the_first_cause(
    build: DriverBuild, deadline: Deadline, tmp_path: Path
) -> None:
    with forked(build) as machine:
        watch = machine.watch_process(machine.driver_host_processes()[0])
        (qemu,) = machine.folder.processes()
        qemu.kill()
        cause = deadline.wait_for(machine.alive, "the end of QEMU")
        assert "ended with -9" in cause
        machine.kill()
        assert machine.alive() == cause
        assert watch.ended_within(10), "with the machine its processes have ended"
        with pytest.raises(LabFault, match="ended with -9"):
            machine.connect_agent(build.agent, deadline)
        with pytest.raises(LabFault, match="ended with -9"):
            machine.processes()
        files = {path.name for path in machine.diagnose(tmp_path / "evidence")}
        assert {"machine.json", "qemu.log", "console.log"} <= files
        assert "ended with -9" in json.loads((tmp_path / "evidence/machine.json").read_text())["cause"]


def test_a_start_that_fails_leaves_nothing(build: DriverBuild) -> None:
    before = {lease.id for lease in leases()}
    machine = QemuMachine(load_profile("standin"), fork=False)
    with pytest.raises(LabFault):
        machine.start(Deadline.after(0.5))
    assert machine.folder.processes() == []
    assert not machine.folder.path.exists()
    assert machine.id not in {lease.id for lease in leases()} - before
    with pytest.raises(LabFault, match="only once"):
        machine.start(Deadline.after(START))


def test_the_guest_sees_nothing_of_this_host(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot see"):
        QemuMachine(load_profile("standin")).guest_path(tmp_path)


OWNER = """
import sys
from pathlib import Path
from hotswap.deadline import Deadline
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
machine = QemuMachine(load_profile("standin"))
machine.expect_agent(Path(sys.argv[1]))
machine.start(Deadline.after(300))
print(machine.id, flush=True)
input()
"""


def test_what_a_killed_harness_left_is_swept_and_nothing_of_a_living_one(build: DriverBuild) -> None:
    with forked(build) as mine:
        with subprocess.Popen(
            [sys.executable, "-c", OWNER, str(build.agent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as owner:
            assert owner.stdout is not None
            id = owner.stdout.readline().strip()
            left = QemuFolder(machines_home() / id)
            assert len(left.processes()) == 1
            owner.send_signal(signal.SIGKILL)
            owner.wait()
        assert len(left.processes()) == 1, "QEMU outlives its owner: else this test shows nothing"
        assert f"qemu.{id}" in sweep().removed
        assert left.processes() == []
        assert not left.path.exists()
        assert mine.alive() is None
        assert len(mine.folder.processes()) == 1


def test_a_snapshot_brings_memory_and_disk_back(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as machine:
        machine.control.put("/root/before", b"1", deadline=deadline)
        (host, *_) = machine.driver_host_processes()
        machine.snapshot("one", deadline)
        machine.control.put("/root/after", b"2", deadline=deadline)
        machine.control.kill(host, deadline=deadline)
        machine.restore("one", deadline)
        assert host in machine.driver_host_processes(), "what ran then runs again"
        assert machine.control.read("/root/before", 10, deadline=deadline) == b"1"
        with pytest.raises(LabFault, match="No such file"):
            machine.control.read("/root/after", 10, deadline=deadline)
        assert machine.clock is not None
        assert machine.clock.problem(offset_ms=250, rate=0.05) is None
        with pytest.raises(UsageError, match="there is a snapshot 'one' already"):
            machine.snapshot("one", deadline)
        with pytest.raises(UsageError, match="no snapshot 'two'; there are: one"):
            machine.restore("two", deadline)


def test_after_a_power_cut_the_machine_boots_from_what_its_disk_holds(build: DriverBuild, deadline: Deadline) -> None:
    with forked(build) as machine:
        machine.control.put("/root/kept", b"kept", deadline=deadline)
        machine.kill()
        assert machine.alive()
        machine.boot_again(deadline)
        assert machine.alive() is None
        assert machine.control.read("/root/kept", 10, deadline=deadline) == b"kept"
        name = machine.control.read("/proc/sys/kernel/hostname", 100, deadline=deadline).decode().strip()
        assert name == machine.identity.name
        machine.boot_again(deadline, fresh_disk=True)
        with pytest.raises(LabFault, match="No such file"):
            machine.control.read("/root/kept", 10, deadline=deadline)


@pytest.mark.parametrize("profile", ["standin-com", "standin-ssh", "standin-winrm"])
def test_the_agent_is_reached_as_the_profile_says_and_comes_back(profile: str, build: DriverBuild) -> None:
    data = bytes(range(256)) * 40
    deadline = Deadline.after(START)
    machine = QemuMachine(load_profile(profile))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(Deadline.after(START))
        transport = machine.connect_agent(build.agent, deadline)
        contract = AgentContract.load(build.agent_contract)
        with Agent(transport, contract, build.codes, reconnection=machine.reconnection()) as agent:
            session = agent.hello(deadline=deadline).session_id
            agent.put(data, r"C:\hotswap\data", deadline=deadline)
            assert agent.get(r"C:\hotswap\data", deadline=deadline) == data
            transport.close()
            assert agent.hello(deadline=deadline).session_id == session, "the same agent, over another stream"


def secrets_of(machine: QemuMachine, deadline: Deadline) -> list[bytes]:
    """Everything in the machine's folder that opens a way to the guest: lines of private keys, and passwords."""
    found: list[bytes] = []
    for path in machine.folder.path.rglob("*"):
        if path.is_file() and path.stat().st_size < 10_000 and b"PRIVATE KEY" in (content := path.read_bytes()):
            assert path.stat().st_mode & 0o077 == 0, path
            # The first line of an OpenSSH key is the same for all keys.
            found += [line for line in content.splitlines()[2:] if len(line) > 20 and not line.startswith(b"-----")]
    if machine.profile.agent == "winrm":
        found.append(machine.winrm(deadline).endpoint.account.password.encode())
    return found


@pytest.mark.parametrize("profile", ["standin", "standin-com", "standin-ssh", "standin-winrm"])
def test_no_secret_is_on_a_command_line_in_a_log_or_in_evidence(
    profile: str, build: DriverBuild, tmp_path: Path
) -> None:
    deadline = Deadline.after(START)
    machine = QemuMachine(load_profile(profile))
    machine.expect_agent(build.agent)
    with machine:
        machine.start(deadline)
        machine.ssh(deadline)
        contract = AgentContract.load(build.agent_contract)
        transport = machine.connect_agent(build.agent, deadline)
        with Agent(transport, contract, build.codes, reconnection=machine.reconnection()) as agent:
            agent.put(b"x", r"C:\hotswap\x", deadline=deadline)
            secrets = secrets_of(machine, deadline)
            assert len(secrets) >= (2 if profile == "standin-winrm" else 1)
            assert machine.folder.path.stat().st_mode & 0o077 == 0
            machine.diagnose(tmp_path / "evidence")
            seen = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert seen
            seen += [path for path in machine.folder.path.rglob("*.log") if path.is_file()]
            for process in psutil.process_iter():
                seen += [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
            looked = 0
            for path in seen:
                try:
                    content = path.read_bytes()
                except OSError:
                    continue
                looked += 1
                assert not any(secret in content for secret in secrets), path
            assert looked > 20
        forwards = machine.qmp.human("info usernet", deadline=deadline)
        assert "127.0.0.1" in forwards
        assert "HOST_FORWARD" in forwards
        assert "0.0.0.0" not in forwards
