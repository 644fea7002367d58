"""The relay: every byte arrives in order, late as its seed says, until the stream is cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.faults.catalog import FAULTS, Target
from hotswap.faults.relay import Line, Relay
from hotswap.machine.profile import load_profile
from hotswap.machine.qemu import QemuMachine
from hotswap.machine.unix_socket import connect_unix, listen_unix
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract

DATA = bytes(range(256)) * 100


class Echo:
    """Answers what it is sent, on every connection."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(stream,), daemon=True).start()

    @staticmethod
    def _answer(stream: socket.socket) -> None:
        with stream:
            try:
                while data := stream.recv(4096):
                    stream.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    echo = Echo(listen_unix(tmp_path / "port.sock"))
    yield tmp_path / "port.sock"
    echo.close()


def exchange(stream: socket.socket, data: bytes = DATA) -> bytes:
    stream.settimeout(20)
    sender = threading.Thread(target=stream.sendall, args=(data,), daemon=True)
    sender.start()
    got = b""
    while len(got) < len(data) and (part := stream.recv(65536)):
        got += part
    sender.join(5)
    return got


@pytest.mark.parametrize("line", [Line(), Line(delay=(0.0, 0.004)), Line(loss=0.3, repeat_seconds=0.01)])
def test_every_byte_arrives_in_order(path: Path, line: Line) -> None:
    relay = Relay.of_unix(path, line)
    with connect_unix(path, Deadline.after(5)) as stream:
        assert exchange(stream) == DATA
    relay.close()
    assert relay.passed >= len(DATA)
    assert not [thread for thread in threading.enumerate() if thread.name == "fault-relay"]


def test_a_slow_line_takes_its_time(path: Path) -> None:
    relay = Relay.of_unix(path, Line(delay=(0.05, 0.05)))
    begun = monotonic()
    with connect_unix(path, Deadline.after(5)) as stream:
        assert exchange(stream, b"one part") == b"one part"
    assert monotonic() - begun >= 0.1
    relay.close()


def test_a_cut_ends_the_stream_and_the_next_one_is_taken(path: Path) -> None:
    relay = Relay.of_unix(path, Line())
    with connect_unix(path, Deadline.after(5)) as first:
        assert exchange(first) == DATA
        relay.cut()
        assert first.recv(1) == b""
    with connect_unix(path, Deadline.after(5)) as second:
        assert exchange(second) == DATA
        relay.refuse()
        assert second.recv(1) == b""
    with connect_unix(path, Deadline.after(5)) as third:
        third.settimeout(5)
        with contextlib.suppress(ConnectionError):
            assert third.recv(1) == b""
    assert relay.taken == 3
    relay.close()


def test_a_port_of_this_host_is_relayed_by_another(tmp_path: Path) -> None:
    echo = Echo(socket.create_server(("127.0.0.1", 0)))
    relay = Relay.of_port(echo.server.getsockname()[1], Line())
    assert relay.port != echo.server.getsockname()[1]
    with socket.create_connection(("127.0.0.1", relay.port), 5) as stream:
        assert exchange(stream) == DATA
    port = relay.port
    relay.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port), 1)
    echo.close()


def test_the_way_over_ssh_goes_through_the_relay_too(build: DriverBuild) -> None:
    machine = QemuMachine(load_profile("standin-ssh"))
    machine.expect_agent(build.agent)
    target = Target(machine)
    with machine:
        machine.start(Deadline.after(300))
        FAULTS["slow-stream"].prepare(target)
        transport = machine.connect_agent(build.agent, Deadline.after(120))
        with Agent(transport, AgentContract.load(build.agent_contract), build.codes) as agent:
            agent.hello(deadline=Deadline.after(120))
            assert target.relay is not None
            before = target.relay.passed
            agent.put(DATA, r"C:\hotswap\data", deadline=Deadline.after(120))
            assert target.relay.passed - before > len(DATA)
    target.close()
