"""What each way to the agent costs, beside plain paramiko and plain pywinrm over the same servers.

First to the Wine guest on this computer, then to the stand-in guest under QEMU, where the same ways cross its network.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import paramiko
import winrm

from hotswap.bench.local_sshd import LocalSshd
from hotswap.bench.table import Row, compare, single
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild, build_drivers
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.base import Reconnection, Transport
from hotswap.transport.protocol import AgentContract
from hotswap.transport.ssh import SshTarget, SshTransport, connect_ssh
from hotswap.transport.winrm import WinRmConnection, WinRmTarget
from hotswap.wsman.process import EndpointProcess

SMALL, LARGE = 1000, 10_000_000
# Over a COM port of an emulated computer ten megabytes take minutes.
_COM_LARGE = 100_000
_GUEST_FILE = r"C:\hotswap\bench.bin"
_AGENT = r"C:\hotswap\hsagent.exe"
_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each thing is measured, and the bytes of the larger transfer."""

    rounds: int
    transfers: int
    large: int

    @property
    def fewer(self) -> int:
        """For what takes longer than a ping."""
        return max(min(3, self.rounds), self.rounds // 10)


@dataclass
class Measured:
    """Milliseconds of each operation of one way, by its name."""

    times: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, call: Callable[[], object], count: int) -> None:
        """Time so many calls, after one that is not counted."""
        call()
        self.times[what] = []
        for _ in range(count):
            begun = perf_counter()
            call()
            self.times[what].append((perf_counter() - begun) * 1e3)


def run(wine: Effort | None = None, standin: Effort | None = None) -> tuple[list[Row], dict[str, Any]]:
    """Medians in milliseconds. The ratio says how many times as long the plain library takes."""
    build = build_drivers()
    near, far = wine or Effort(200, 3, LARGE), standin or Effort(50, 1, LARGE)
    rows = _wine(build, near)
    more, accelerator = _standin(build, far)
    details = {
        "wine": {"rounds": near.rounds, "transfers": near.transfers, "bytes": [SMALL, near.large]},
        "standin": {
            "rounds": far.rounds,
            "transfers": far.transfers,
            "bytes": [SMALL, far.large],
            "accelerator": accelerator,
        },
    }
    return rows + more, details


def _wine(build: DriverBuild, effort: Effort) -> list[Row]:
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hotswap-bench-")))
        (folder / "sshd").mkdir()
        (folder / "endpoint").mkdir()
        machine = stack.enter_context(WineMachine())
        machine.start(Deadline.after(_SECONDS))
        with _agent(machine.connect_agent(build.agent, Deadline.after(60)), build, None) as agent:
            rows += _rows("pipe", _ours(agent, effort), None)
        command = f"{machine.wine.loader} '{_AGENT}' --attach"
        drive = machine.folder.prefix / "drive_c"
        sshd = stack.enter_context(LocalSshd(folder / "sshd", machine.environment, command, drive))
        stream = connect_ssh(sshd.target, Deadline.after(60))
        with _agent(stream, build, Reconnection(lambda limit: connect_ssh(sshd.target, limit))) as agent:
            rows += _rows("SSH", _ours(agent, effort), _plain_ssh(sshd.target, effort))
            rows += _rows("SFTP", _sftp(agent, stream, folder, effort), None)
        endpoint = stack.enter_context(
            EndpointProcess.for_wine(
                folder / "endpoint", str(machine.wine.loader), machine.environment, Deadline.after(60)
            )
        )
        account = endpoint.account
        target = WinRmTarget(endpoint.port, account.user, account.password, endpoint.fingerprint, _AGENT)
        connection = WinRmConnection(target)
        with _agent(connection.agent(Deadline.after(60)), build, Reconnection(connection.agent)) as agent:
            rows += _rows("WinRM", _ours(agent, effort), _plain_winrm(endpoint, agent, effort))
        connection.close()
    return rows


def _standin(build: DriverBuild, effort: Effort) -> tuple[list[Row], str]:
    rows: list[Row] = []
    accelerator = ""
    for profile in ("standin", "standin-com", "standin-ssh", "standin-winrm"):
        with QemuMachine(load_profile(profile)) as machine:
            machine.expect_agent(build.agent)
            machine.start(Deadline.after(_SECONDS))
            accelerator = machine.accelerator.name
            stream = machine.connect_agent(build.agent, Deadline.after(_SECONDS))
            with _agent(stream, build, machine.reconnection()) as agent:
                if profile == "standin":
                    rows += _rows("QEMU, virtio-serial", _ours(agent, effort), None)
                elif profile == "standin-com":
                    rows += _rows("QEMU, COM", _ours(agent, replace(effort, large=min(effort.large, _COM_LARGE))), None)
                elif profile == "standin-ssh":
                    target = machine.ssh(Deadline.after(_SECONDS))
                    rows += _rows("QEMU, SSH", _ours(agent, effort), _plain_ssh(target, effort))
                else:
                    endpoint = machine.winrm(Deadline.after(_SECONDS)).endpoint
                    rows += _rows("QEMU, WinRM", _ours(agent, effort), _plain_winrm(endpoint, agent, effort))
    return rows, accelerator


def _agent(stream: Transport, build: DriverBuild, reconnection: Reconnection | None) -> Agent:
    return Agent(stream, AgentContract.load(build.agent_contract), build.codes, reconnection=reconnection)


def _size(count: int) -> str:
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count // 1000} KB"


def _rows(way: str, ours: Measured, other: Measured | None) -> list[Row]:
    rows = []
    for what, times in ours.times.items():
        name = f"{way}: {what}"
        beside = other.times.get(what) if other else None
        if not beside:
            rows.append(single(name, times, "ms"))
        elif "MB" in what:  # reported: only ours is hashed at both ends
            rows.append(replace(compare(name, times, beside, "ms", 1), aim="", met=None))
        else:
            rows.append(compare(name, times, beside, "ms", 10 if what == "round trip" else 1))
    return rows


def _ours(agent: Agent, effort: Effort) -> Measured:
    measured = Measured()
    deadline = Deadline.after(_SECONDS)
    payload = os.urandom(effort.large)
    size = _size(effort.large)
    measured.add("round trip", lambda: agent.ping(deadline=deadline), effort.rounds)
    agent.put(payload[:SMALL], _GUEST_FILE, deadline=deadline)
    measured.add(f"{_size(SMALL)} out", lambda: agent.get(_GUEST_FILE, deadline=deadline), effort.fewer)
    measured.add(f"{size} in", lambda: agent.put(payload, _GUEST_FILE, deadline=deadline), effort.transfers)
    measured.add(f"{size} out", lambda: agent.get(_GUEST_FILE, deadline=deadline), effort.transfers)
    return measured


def _plain_ssh(target: SshTarget, effort: Effort) -> Measured:
    """paramiko's `exec_command`, as its documentation has it; the guest's shell has the least to do."""
    measured = Measured()
    payload = os.urandom(effort.large)
    path = f"{target.drive_c}/hotswap/bench.bin"
    with paramiko.SSHClient() as client:
        kind, data = target.host_key.split()[:2]
        host_key = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
        client.get_host_keys().add(f"[{target.host}]:{target.port}", kind, host_key)
        client.connect(
            target.host, target.port, target.user, key_filename=str(target.key), allow_agent=False, look_for_keys=False
        )

        def execute(command: str, data: bytes = b"") -> bytes:
            stdin, stdout, _ = client.exec_command(command)
            stdin.write(data)
            stdin.channel.shutdown_write()
            said: bytes = stdout.read()
            stdout.channel.recv_exit_status()
            return said

        def write(data: bytes) -> None:
            execute(f"{_CAT} > '{path}'", data)

        measured.add("round trip", lambda: execute("true"), effort.fewer)
        write(payload[:SMALL])
        measured.add(f"{_size(SMALL)} out", lambda: execute(f"{_CAT} '{path}'"), effort.fewer)
        measured.add(f"{_size(effort.large)} in", lambda: write(payload), effort.transfers)
        measured.add(f"{_size(effort.large)} out", lambda: execute(f"{_CAT} '{path}'"), effort.transfers)
    return measured


# The stand-in guest has one program for all of that.
_CAT = "$(test -x /usr/bin/busybox && echo /usr/bin/busybox) cat"


def _sftp(agent: Agent, stream: SshTransport, folder: Path, effort: Effort) -> Measured:
    """Ours, hash in the guest included."""
    measured = Measured()
    source = folder / "source"
    source.write_bytes(os.urandom(effort.large))
    deadline = Deadline.after(_SECONDS)
    connection = stream.connection
    size = _size(effort.large)
    measured.add(f"{size} in", lambda: connection.push(agent, source, _GUEST_FILE, deadline), effort.transfers)
    measured.add(f"{size} out", lambda: connection.pull(agent, _GUEST_FILE, deadline), effort.transfers)
    return measured


def _plain_winrm(endpoint: EndpointProcess, agent: Agent, effort: Effort) -> Measured:
    """pywinrm's `run_cmd`, which takes no input; files are of letters, for `type` brings those unchanged."""
    session = winrm.Session(
        f"https://127.0.0.1:{endpoint.port}/wsman",
        auth=(endpoint.account.user, endpoint.account.password),
        transport="ntlm",
        server_cert_validation="validate",
        ca_trust_path=str(endpoint.certificate),
    )
    measured = Measured()
    deadline = Deadline.after(_SECONDS)
    measured.add("round trip", lambda: session.run_cmd("exit"), effort.fewer)
    for count, times in ((SMALL, effort.fewer), (effort.large, effort.transfers)):
        agent.put(b"x" * count, _GUEST_FILE, deadline=deadline)
        measured.add(f"{_size(count)} out", lambda: session.run_cmd("type", [_GUEST_FILE]), times)
    return measured
