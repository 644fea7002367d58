"""One guest and one agent for the tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from agents import AGENT, Connect, Resident

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract
from support.serial_line import SerialLine


@pytest.fixture(scope="session")
def agent_contract(build: DriverBuild) -> AgentContract:
    return AgentContract.load(build.agent_contract)


@pytest.fixture(scope="session")
def machine() -> Iterator[WineMachine]:
    with WineMachine() as machine:
        machine.start(Deadline.after(180))
        yield machine


@pytest.fixture
def connect(machine: WineMachine, build: DriverBuild, agent_contract: AgentContract) -> Iterator[Connect]:
    """Starts agents; all of them are gone after the test."""
    agents: list[Agent] = []

    def start() -> Agent:
        transport = machine.connect_agent(build.agent, Deadline.after(30))
        agents.append(Agent(transport, agent_contract, build.codes))
        return agents[-1]

    yield start
    for agent in agents:
        agent.disconnect()


@pytest.fixture
def agent(connect: Connect) -> Agent:
    return connect()


@pytest.fixture(scope="session")
def resident(
    machine: WineMachine, build: DriverBuild, agent_contract: AgentContract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Resident]:
    """The agent that stays in that guest, on a COM port; who attaches in it finds this one."""
    machine.connect_agent(build.agent, Deadline.after(30)).close()
    with SerialLine(tmp_path_factory.mktemp("line") / "com2") as line:
        port = machine.folder.prefix / "dosdevices" / "com2"
        port.unlink(missing_ok=True)
        port.symlink_to(line.device)
        process = subprocess.Popen(
            machine.wine.command(AGENT, "--port", "COM2"), env=machine.environment, cwd=machine.folder.path
        )
        resident = Resident(machine, line, process, agent_contract)
        yield resident
        with resident.agent() as agent:
            agent.quit(deadline=Deadline.after(20))
        assert process.wait(20) == 0
