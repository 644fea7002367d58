"""What each way to the agent costs, beside plain paramiko and plain pywinrm over the same servers."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
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
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.base import Reconnection
from hotswap.transport.protocol import AgentContract
from hotswap.transport.ssh import SshTarget, SshTransport, connect_ssh
from hotswap.transport.winrm import WinRmConnection, WinRmTarget
from hotswap.wsman.process import EndpointProcess

SMALL, LARGE = 1000, 10_000_000
ROUNDS = 200
TRANSFERS = 3
_GUEST_FILE = r"C:\hotswap\bench.bin"
_AGENT = r"C:\hotswap\hsagent.exe"
_SECONDS = 600.0


class Measured:
    """Milliseconds of each of the four operations of one way, by their names."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def add(self, what: str, call: Callable[[], object], count: int) -> None:
        """Time so many calls, after one that is not counted."""
        call()
        self.times[what] = []
        for _ in range(count):
            begun = perf_counter()
            call()
            self.times[what].append((perf_counter() - begun) * 1e3)


def run(rounds: int = ROUNDS, transfers: int = TRANSFERS, large: int = LARGE) -> tuple[list[Row], dict[str, Any]]:
    """Medians in milliseconds; sizes are bytes. Ratio: how many times as long the other takes."""
    build = build_drivers()
    contract = AgentContract.load(build.agent_contract)
    rows: list[Row] = []
    # What a user of the plain library would do about as often as we do.
    fewer = max(3, rounds // 10)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hotswap-bench-")))
        machine = stack.enter_context(WineMachine())
        machine.start(Deadline.after(_SECONDS))
        payload = os.urandom(large)

        def measure(agent: Agent) -> Measured:
            measured = Measured()
            deadline = Deadline.after(_SECONDS)
            measured.add("round trip", lambda: agent.ping(deadline=deadline), rounds)
            agent.put(payload[:SMALL], _GUEST_FILE, deadline=deadline)
            measured.add(f"{_size(SMALL)} out", lambda: agent.get(_GUEST_FILE, deadline=deadline), fewer)
            measured.add(f"{_size(large)} in", lambda: agent.put(payload, _GUEST_FILE, deadline=deadline), transfers)
            measured.add(f"{_size(large)} out", lambda: agent.get(_GUEST_FILE, deadline=deadline), transfers)
            return measured

        with Agent(machine.connect_agent(build.agent, Deadline.after(60)), contract) as agent:
            rows += _rows("pipe", measure(agent), None)

        sshd = stack.enter_context(_sshd(machine, folder))
        stream = connect_ssh(sshd.target, Deadline.after(60))
        with Agent(stream, contract, reconnection=Reconnection(lambda limit: connect_ssh(sshd.target, limit))) as agent:
            rows += _rows("SSH", measure(agent), _plain_ssh(sshd.target, payload, fewer, transfers))
            rows += _rows("SFTP", _sftp(agent, stream, folder, payload, transfers), None)

        (folder / "endpoint").mkdir()
        endpoint = stack.enter_context(
            EndpointProcess.for_wine(
                folder / "endpoint", str(machine.wine.loader), machine.environment, Deadline.after(60)
            )
        )
        rows += _winrm(endpoint, build, contract, measure, fewer, transfers, folder / "endpoint")
    return rows, {"guest": machine.name, "rounds": rounds, "transfers": transfers, "bytes": [SMALL, large]}


def _size(count: int) -> str:
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count // 1000} KB"


def _rows(way: str, ours: Measured, other: Measured | None) -> list[Row]:
    rows = []
    for what, times in ours.times.items():
        beside = other.times.get(what) if other else None
        name = f"{way}: {what}"
        if not beside:
            rows.append(single(name, times, "ms"))
        elif "MB" in what:  # reported: only ours is hashed at both ends
            rows.append(replace(compare(name, times, beside, "ms", 1), aim="", met=None))
        else:
            rows.append(compare(name, times, beside, "ms", 10 if what == "round trip" else 1))
    return rows


@contextmanager
def _sshd(machine: WineMachine, folder: Path) -> Iterator[LocalSshd]:
    home = folder / "sshd"
    home.mkdir()
    command = f"{machine.wine.loader} '{_AGENT}' --attach"
    with LocalSshd(home, machine.environment, command, machine.folder.prefix / "drive_c") as sshd:
        yield sshd


def _plain_ssh(target: SshTarget, payload: bytes, rounds: int, transfers: int) -> Measured:
    """paramiko's `exec_command`, as its documentation has it; the guest's shell has the least to do."""
    measured = Measured()
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(f"[{target.host}]:{target.port}", *_host_key(target))
        client.connect(
            target.host, target.port, target.user, key_filename=str(target.key), allow_agent=False, look_for_keys=False
        )
        path = f"{target.drive_c}/hotswap/bench.bin"

        def execute(command: str, data: bytes = b"") -> bytes:
            stdin, stdout, _ = client.exec_command(command)
            stdin.write(data)
            stdin.channel.shutdown_write()
            said: bytes = stdout.read()
            stdout.channel.recv_exit_status()
            return said

        measured.add("round trip", lambda: execute("true"), rounds)
        execute(f"cat > '{path}'", payload[:SMALL])
        measured.add(f"{_size(SMALL)} out", lambda: execute(f"cat '{path}'"), rounds)
        measured.add(f"{_size(len(payload))} in", lambda: execute(f"cat > '{path}'", payload), transfers)
        measured.add(f"{_size(len(payload))} out", lambda: execute(f"cat '{path}'"), transfers)
    return measured


def _host_key(target: SshTarget) -> tuple[str, paramiko.PKey]:
    kind, data = target.host_key.split()[:2]
    return kind, paramiko.PKey.from_type_string(kind, base64.b64decode(data))


def _sftp(agent: Agent, stream: SshTransport, folder: Path, payload: bytes, transfers: int) -> Measured:
    """Ours, hash in the guest included."""
    measured = Measured()
    source = folder / "source"
    source.write_bytes(payload)
    deadline = Deadline.after(_SECONDS)
    connection = stream.connection
    measured.add(f"{_size(len(payload))} in", lambda: connection.push(agent, source, _GUEST_FILE, deadline), transfers)
    measured.add(f"{_size(len(payload))} out", lambda: connection.pull(agent, _GUEST_FILE, deadline), transfers)
    return measured


def _winrm(
    endpoint: EndpointProcess,
    build: DriverBuild,
    contract: AgentContract,
    measure: Callable[[Agent], Measured],
    rounds: int,
    transfers: int,
    folder: Path,
) -> list[Row]:
    account = endpoint.account
    target = WinRmTarget(endpoint.port, account.user, account.password, endpoint.fingerprint, _AGENT)
    connection = WinRmConnection(target)
    stream = connection.agent(Deadline.after(60))
    with Agent(stream, contract, build.codes, reconnection=Reconnection(connection.agent)) as agent:
        ours = measure(agent)
        session = winrm.Session(
            f"https://127.0.0.1:{endpoint.port}/wsman",
            auth=(account.user, account.password),
            transport="ntlm",
            server_cert_validation="validate",
            ca_trust_path=str(folder / "certificate.pem"),
        )
        other = Measured()
        deadline = Deadline.after(_SECONDS)
        other.add("round trip", lambda: session.run_cmd("exit"), rounds)
        # What `type` brings unchanged.
        size = len(agent.get(_GUEST_FILE, deadline=deadline))
        for count, times in ((SMALL, rounds), (size, transfers)):
            agent.put(b"x" * count, _GUEST_FILE, deadline=deadline)
            other.add(f"{_size(count)} out", lambda: session.run_cmd("type", [_GUEST_FILE]), times)
    connection.close()
    return _rows("WinRM", ours, other)
