"""What the tests of this folder say about agents."""

from __future__ import annotations

from collections.abc import Callable

from hotswap.transport.agent import Agent
from hotswap.transport.pipe import PipeTransport

Connect = Callable[[], Agent]


def process_of(agent: Agent) -> PipeTransport:
    """The pipe transport below an agent, whose `process` a test may kill."""
    transport = agent.connection.transport
    assert isinstance(transport, PipeTransport)
    return transport
