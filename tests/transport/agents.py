"""What the tests of this folder say about agents."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import NamedTuple

from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.base import Reconnection, Transport
from hotswap.transport.pipe import PipeTransport
from hotswap.transport.protocol import AgentContract
from hotswap.transport.socket import SERIAL_CHUNK_BYTES, SocketTransport
from support.serial_line import SerialLine

AGENT = r"C:\hotswap\hsagent.exe"

Connect = Callable[[], Agent]


def process_of(agent: Agent) -> PipeTransport:
    """The pipe transport below an agent, whose `process` a test may kill."""
    transport = agent.connection.transport
    assert isinstance(transport, PipeTransport)
    return transport


def attach(machine: WineMachine) -> PipeTransport:
    """Join the agent that stays in the guest, as an SSH server's session would; starts one when there is none."""
    process = subprocess.Popen(
        machine.wine.command(AGENT, "--attach"),
        env=machine.environment,
        cwd=machine.folder.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    return PipeTransport(process)


def run_agent_program(machine: WineMachine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the agent's program for something that ends."""
    return subprocess.run(
        machine.wine.command(AGENT, *arguments),
        env=machine.environment,
        cwd=machine.folder.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Resident(NamedTuple):
    """An agent that stays, the line to its COM port, and its process."""

    machine: WineMachine
    line: SerialLine
    process: subprocess.Popen[bytes]
    contract: AgentContract

    def connect(self, deadline: Deadline) -> SocketTransport:
        return SocketTransport.connect(self.line.path, deadline, alive=self.ended, chunk_bytes=SERIAL_CHUNK_BYTES)

    def ended(self) -> str | None:
        code = self.process.poll()
        return None if code is None else f"the agent that should stay has ended with {code}"

    def agent(self, stream: Transport | None = None, *, ask_after: float = 1.0) -> Agent:
        """A client over the serial line, by way of `stream` at first."""
        first = stream or self.connect(Deadline.after(5))
        return Agent(first, self.contract, reconnection=Reconnection(self.connect, ask_after=ask_after))
