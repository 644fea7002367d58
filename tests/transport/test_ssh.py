"""The agent over a real OpenSSH server: what works, and which step is named when something does not."""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
import winrm
from agents import AGENT, Resident

from hotswap.bench.local_sshd import LocalSshd
from hotswap.deadline import Deadline
from hotswap.errors import LabFault, UsageError
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentLost
from hotswap.transport.base import Reconnection
from hotswap.transport.keys import make_ssh_key, ssh_fingerprint
from hotswap.transport.protocol import AgentContract
from hotswap.transport.returning import ReturningConnection
from hotswap.transport.ssh import SshError, SshTarget, SshTransport, connect_ssh
from hotswap.transport.winrm import WinRmConnection, WinRmTarget
from hotswap.wsman.process import EndpointProcess


def server(machine: WineMachine, folder: Path, *, options: str = "") -> LocalSshd:
    folder.mkdir()
    command = f"{machine.wine.loader} '{AGENT}' --attach"
    environment = {**machine.environment, "WINELOADER": str(machine.wine.loader)}
    return LocalSshd(folder, environment, command, machine.folder.prefix / "drive_c", options=options)


@pytest.fixture(scope="module")
def sshd(resident: Resident, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSshd]:
    with server(resident.machine, tmp_path_factory.mktemp("sshd") / "server") as sshd:
        yield sshd


@contextmanager
def agent_over(target: SshTarget, contract: AgentContract) -> Iterator[Agent]:
    stream = connect_ssh(target, Deadline.after(20))
    with Agent(stream, contract, reconnection=Reconnection(lambda limit: connect_ssh(target, limit))) as agent:
        yield agent


def connection_of(agent: Agent) -> SshTransport:
    stream = agent.connection.transport
    assert isinstance(stream, SshTransport)
    return stream


def test_every_byte_comes_through_as_it_is(sshd: LocalSshd, agent_contract: AgentContract, deadline: Deadline) -> None:
    data = bytes(range(256)) * 8192
    with agent_over(sshd.target, agent_contract) as agent:
        assert agent.hello(deadline=deadline).wine_version
        agent.put(data, r"C:\ssh.bin", deadline=deadline)
        assert agent.get(r"C:\ssh.bin", deadline=deadline) == data
        assert agent.connection.skipped_bytes == 0


def test_files_go_over_sftp_beside_the_agent_and_are_hashed_in_the_guest(
    sshd: LocalSshd, agent_contract: AgentContract, tmp_path: Path, deadline: Deadline
) -> None:
    source = tmp_path / "bulk"
    source.write_bytes(bytes(range(256)) * 20_000)
    with agent_over(sshd.target, agent_contract) as agent:
        connection = connection_of(agent).connection
        digest = connection.push(agent, source, r"C:\bulk.bin", deadline)
        assert agent.file_hash(r"C:\bulk.bin", deadline=deadline) == digest
        assert connection.pull(agent, r"C:\bulk.bin", deadline) == source.read_bytes()
        assert agent.ping(deadline=deadline)


def test_a_file_that_is_another_one_in_the_guest_is_refused(
    sshd: LocalSshd, agent_contract: AgentContract, tmp_path: Path, deadline: Deadline
) -> None:
    # SFTP sees another drive C: than the agent.
    target = replace(sshd.target, drive_c=str(tmp_path))
    source = tmp_path / "source"
    source.write_bytes(b"new")
    with agent_over(target, agent_contract) as agent:
        agent.put(b"old", r"C:\two.bin", deadline=deadline)
        connection = connection_of(agent).connection
        with pytest.raises(LabFault, match=r"C:\\two.bin has SHA-256 .* in the guest, .* was sent"):
            connection.push(agent, source, r"C:\two.bin", deadline)
        with pytest.raises(LabFault, match=r"in the guest, .* arrived"):
            connection.pull(agent, r"C:\two.bin", deadline)


def test_a_file_that_cannot_be_written_leaves_nothing_and_says_so(
    sshd: LocalSshd, agent_contract: AgentContract, tmp_path: Path, deadline: Deadline
) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with agent_over(sshd.target, agent_contract) as agent:
        connection = connection_of(agent).connection
        with pytest.raises(SshError, match=r"file transfer failed: writing .*/no/such/x.bin.*: .*No such file"):
            connection.push(agent, tmp_path / "source", r"C:\no\such\x.bin", deadline)
        with pytest.raises(UsageError, match="drive C:"):
            connection.push(agent, tmp_path / "source", r"D:\x.bin", deadline)


def test_a_lost_connection_is_replaced_and_nothing_runs_twice(
    sshd: LocalSshd, agent_contract: AgentContract, deadline: Deadline
) -> None:
    with agent_over(sshd.target, agent_contract) as agent:
        agent.hello(deadline=deadline)
        first = agent.open(r"\\.\NUL", deadline=deadline)
        results: list[int] = []
        runner = threading.Thread(
            target=lambda: results.append(
                agent.run(["ping", "-n", "100", "127.0.0.1"], time_limit=0.8, deadline=deadline).exit_code
            )
        )
        runner.start()
        deadline.wait_for(lambda: agent.connection.waiting, "the program to be asked for")
        agent.ping(deadline=deadline)
        connection_of(agent).connection.close()
        assert agent.open(r"\\.\NUL", deadline=deadline) == first + 1
        runner.join()
        assert len(results) == 1
        assert isinstance(agent.connection, ReturningConnection)
        assert agent.connection.returns == 1


def failed(target: SshTarget, seconds: float = 10) -> SshError:
    with pytest.raises(SshError) as caught:
        connect_ssh(target, Deadline.after(seconds))
    return caught.value


def test_nobody_who_listens_is_a_failed_connect(sshd: LocalSshd) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        error = failed(replace(sshd.target, port=free.getsockname()[1]))
    assert error.stage == "connect"
    assert "Connection refused; does the guest's SSH server run?" in str(error)


@pytest.mark.parametrize("said", [b"220 this is a mail server\r\n" * 200, b""])
def test_another_kind_of_server_is_a_failed_key_exchange(sshd: LocalSshd, said: bytes) -> None:
    with one_answer(said) as port:
        assert failed(replace(sshd.target, port=port)).stage == "key exchange"


def test_a_server_that_says_nothing_is_given_up_at_the_deadline(sshd: LocalSshd) -> None:
    with one_answer(None) as port:
        begun = time.monotonic()
        assert failed(replace(sshd.target, port=port), 0.5).stage == "key exchange"
        assert time.monotonic() - begun < 5


@contextmanager
def one_answer(said: bytes | None) -> Iterator[int]:
    """A server that says this and hangs up; None: it says nothing and keeps the line."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client = listening.accept()[0]
            with client:
                if said is None:
                    client.recv(100)
                    client.recv(100)
                else:
                    client.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_another_host_key_is_refused_with_both_fingerprints(sshd: LocalSshd, tmp_path: Path) -> None:
    other = make_ssh_key(tmp_path / "other")
    error = failed(replace(sshd.target, host_key=other))
    assert error.stage == "host key"
    assert ssh_fingerprint(other) in str(error)
    assert ssh_fingerprint(sshd.target.host_key) in str(error)


def test_a_host_key_of_another_kind_is_no_way_around_the_pin(sshd: LocalSshd) -> None:
    assert failed(replace(sshd.target, host_key="ecdsa-sha2-nistp256 AAAA")).stage == "key exchange"
    with pytest.raises(UsageError, match="of no kind that is known"):
        connect_ssh(replace(sshd.target, host_key="telnet AAAA"), Deadline.after(5))


def test_another_key_is_a_failed_authentication(sshd: LocalSshd, tmp_path: Path) -> None:
    make_ssh_key(tmp_path / "other")
    error = failed(replace(sshd.target, key=tmp_path / "other"))
    assert error.stage == "authentication"
    assert "SHA256:" in str(error)
    assert failed(replace(sshd.target, user="nobody-here")).stage == "authentication"
    assert failed(replace(sshd.target, key=tmp_path / "none")).stage == "authentication"


def test_a_server_that_opens_no_session_is_a_failed_channel(machine: WineMachine, tmp_path: Path) -> None:
    with server(machine, tmp_path / "server", options="MaxSessions 0") as sshd:
        error = failed(sshd.target)
    assert error.stage == "channel"
    assert "hsagent.exe" in str(error)


def test_a_command_that_fails_is_told_with_its_last_words(
    sshd: LocalSshd, agent_contract: AgentContract, deadline: Deadline
) -> None:
    target = replace(sshd.target, command="echo no such agent >&2; exit 7")
    with (
        Agent(connect_ssh(target, deadline), agent_contract) as agent,
        pytest.raises(AgentLost, match=r"hello: .* exit code 7; its last words: no such agent"),
    ):
        agent.hello(deadline=deadline)


def test_the_key_is_for_its_owner_alone_and_openssh_reads_it(tmp_path: Path) -> None:
    public = make_ssh_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    key = paramiko.Ed25519Key(filename=str(tmp_path / "key"))
    assert key.fingerprint == ssh_fingerprint(public)
    with pytest.raises(LabFault, match="writing the key file"):
        make_ssh_key(tmp_path / "no" / "key")


def test_closing_leaves_no_thread_and_no_descriptor(
    sshd: LocalSshd, agent_contract: AgentContract, deadline: Deadline
) -> None:
    def held() -> tuple[int, list[str]]:
        names = [thread.name for thread in threading.enumerate() if "agent" in thread.name or "Thread" in thread.name]
        return sum(1 for _ in Path("/proc/self/fd").iterdir()), names

    def once() -> None:
        with agent_over(sshd.target, agent_contract) as agent:
            agent.hello(deadline=deadline)

    once()
    before = held()
    once()
    deadline.wait_for(lambda: held() <= before, "the connection to end", last_seen=lambda: str(held()))


def test_the_shells_of_the_endpoint_run_in_a_guest_over_ssh(
    sshd: LocalSshd, agent_contract: AgentContract, tmp_path: Path, deadline: Deadline
) -> None:
    # What the endpoint in front of a guest does: commands by Wine's loader over SSH, with their streams and ends.
    with EndpointProcess.for_guest(tmp_path, sshd.target, deadline) as endpoint:
        target = WinRmTarget(
            endpoint.port, endpoint.account.user, endpoint.account.password, endpoint.fingerprint, AGENT
        )
        connection = WinRmConnection(target)
        with Agent(connection.agent(deadline), agent_contract, reconnection=Reconnection(connection.agent)) as agent:
            data = bytes(range(256)) * 2000
            agent.put(data, r"C:\over.bin", deadline=deadline)
            assert agent.get(r"C:\over.bin", deadline=deadline) == data
        connection.close()
        session = winrm.Session(
            f"https://127.0.0.1:{endpoint.port}/wsman",
            auth=(endpoint.account.user, endpoint.account.password),
            transport="ntlm",
            server_cert_validation="validate",
            ca_trust_path=str(tmp_path / "certificate.pem"),
        )
        ended = session.run_cmd("echo", ["it's", "&", "exit", "9"])
        assert (ended.std_out.strip(), ended.status_code) == (b"it's", 9)
        assert (tmp_path / "endpoint.log").read_text() == ""
