"""One guest and one agent for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agents import Connect

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent
from hotswap.transport.protocol import AgentContract


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
