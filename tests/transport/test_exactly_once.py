"""Whatever happens to the stream, and wherever: what was asked for runs once.

The agent numbers the handles that it gives out, so that their numbers count how often it opened something.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from agents import Resident

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import DeadlineExpired
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentProtocolError
from hotswap.transport.base import Reconnection
from hotswap.transport.protocol import AgentContract, Frame, encode_frame
from hotswap.transport.returning import ReturningConnection
from support.faulty_stream import Change, CutAfter, FaultyStream, unchanged

NUL = r"\\.\NUL"
# A request to open NUL, and its answer, with their frame headers.
REQUEST_BYTES = 40 + 4 + len(NUL) + 8
REPLY_BYTES = 40 + 8


@contextmanager
def agent_with(resident: Resident, out: Change = unchanged, back: Change = unchanged) -> Iterator[Agent]:
    """An agent that has been greeted, over a stream with these faults from now on; streams after it have none."""
    stream = FaultyStream(resident.connect(Deadline.after(5)))
    with resident.agent(stream, ask_after=0.05) as agent:
        agent.hello(deadline=Deadline.after(20))
        stream.out, stream.back = out, back
        yield agent
        stream.out = stream.back = unchanged


def opened(resident: Resident) -> int:
    """How often the agent has opened something, this one included."""
    with resident.agent() as agent:
        return agent.open(NUL, deadline=Deadline.after(20))


def returns_of(agent: Agent) -> int:
    assert isinstance(agent.connection, ReturningConnection)
    return agent.connection.returns


@pytest.mark.parametrize("part", range(4))
def test_a_cut_at_any_byte_of_a_request_or_its_answer(resident: Resident, part: int, deadline: Deadline) -> None:
    cuts = [(CutAfter(count), unchanged) for count in range(part, REQUEST_BYTES, 4)]
    cuts += [(unchanged, CutAfter(count)) for count in range(part, REPLY_BYTES, 4)]
    before = opened(resident)
    for out, back in cuts:
        with agent_with(resident, out, back) as agent:
            assert agent.open(NUL, deadline=deadline) == before + 1
            # The answer may come with the greeting, before the stream counts as replaced.
            deadline.wait_for(lambda agent=agent: returns_of(agent) == 1, "the stream to be replaced")
        before += 1
    assert opened(resident) == before + 1


def test_a_request_that_is_lost_on_the_way_is_sent_again(resident: Resident, deadline: Deadline) -> None:
    before = opened(resident)
    with agent_with(resident, out=lose(1)) as agent:
        assert agent.open(NUL, deadline=deadline) == before + 1
        assert returns_of(agent) == 0
    assert opened(resident) == before + 2


def test_an_answer_that_is_lost_on_the_way_is_asked_for_again(resident: Resident, deadline: Deadline) -> None:
    before = opened(resident)
    with agent_with(resident, back=lose(1)) as agent:
        assert agent.open(NUL, deadline=deadline) == before + 1
        assert returns_of(agent) == 0
    assert opened(resident) == before + 2


def test_an_answer_is_asked_for_until_it_comes(resident: Resident, deadline: Deadline) -> None:
    before = opened(resident)
    with agent_with(resident, out=lose(2), back=lose(2)) as agent:
        assert agent.open(NUL, deadline=deadline) == before + 1
    assert opened(resident) == before + 2


@pytest.mark.parametrize("at", [0, 7, 20, 45, REQUEST_BYTES - 1])
def test_a_request_that_arrives_damaged_is_sent_again(resident: Resident, at: int, deadline: Deadline) -> None:
    before = opened(resident)
    with agent_with(resident, out=damage(at)) as agent:
        assert agent.open(NUL, deadline=deadline) == before + 1
    assert opened(resident) == before + 2


def test_a_request_that_always_arrives_damaged_is_given_up(resident: Resident, deadline: Deadline) -> None:
    def spoil(data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    with agent_with(resident, out=spoil) as agent, pytest.raises(AgentProtocolError, match="BadPayload"):
        agent.open(NUL, deadline=deadline)


def test_threads_over_a_stream_that_is_cut_again_and_again(resident: Resident, deadline: Deadline) -> None:
    dice = random.Random(5)
    calls, threads = 40, 4

    def connect(limit: Deadline) -> FaultyStream:
        return FaultyStream(
            resident.connect(limit), CutAfter(dice.randrange(60, 4000)), CutAfter(dice.randrange(60, 4000))
        )

    before = opened(resident)
    handles: list[int] = []
    first = FaultyStream(resident.connect(deadline))
    with Agent(first, resident.contract, reconnection=Reconnection(connect, ask_after=0.3)) as agent:
        agent.hello(deadline=deadline)
        first.out = CutAfter(500)

        def call() -> None:
            for _ in range(calls):
                handle = agent.open(NUL, deadline=deadline)
                handles.append(handle)
                agent.close(handle, deadline=deadline)

        workers = [threading.Thread(target=call) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert returns_of(agent) >= 3
    assert sorted(handles) == list(range(before + 1, before + 1 + calls * threads))
    assert opened(resident) == before + 1 + calls * threads


class KeptStream(FaultyStream):
    """A stream to an agent that is not told of its clients' end: what a relay in the guest does."""

    def close(self) -> None:
        self.cut = True

    def read(self, size: int, deadline: Deadline) -> bytes:
        while not self.cut:
            with suppress(DeadlineExpired):
                return super().read(size, deadline.within(0.05))
            if deadline.expired:
                raise DeadlineExpired("nothing came")
        return b""


@pytest.mark.parametrize("known", [True, False])
def test_an_agent_that_waits_for_the_rest_of_a_cut_request_is_woken(
    machine: WineMachine, build: DriverBuild, agent_contract: AgentContract, known: bool, deadline: Deadline
) -> None:
    process = machine.connect_agent(build.agent, deadline)
    data = bytes(range(256)) * 3000

    def again(_limit: Deadline) -> KeptStream:
        return KeptStream(process)

    first = KeptStream(process)
    with Agent(first, agent_contract, reconnection=Reconnection(again, ask_after=0.05)) as agent:
        if known:
            agent.hello(deadline=deadline)
            first.out = CutAfter(300_000)
        else:  # another client has left it so
            request = Frame(agent_contract["HsAgentOpFileWrite"], 0, 1, 1, data)
            process.write(encode_frame(agent_contract, request)[:300_000], deadline)
        agent.put(data, r"C:\cut.bin", deadline=deadline)
        assert agent.get(r"C:\cut.bin", deadline=deadline) == data
    process.close()


def test_calls_over_a_stream_that_broke_keep_their_order(resident: Resident, deadline: Deadline) -> None:
    contract = resident.contract
    with agent_with(resident, out=CutAfter(0)) as agent:
        payload = len(NUL).to_bytes(4, "little") + NUL.encode() + bytes(8)
        pending = [
            agent.connection.send(contract["HsAgentOpOpen"], payload, deadline, what=f"open {number}")
            for number in range(20)
        ]
        handles = [int.from_bytes(one.result(deadline).payload, "little") for one in pending]
    assert [second - first for first, second in itertools.pairwise(handles)] == [1] * 19


def lose(count: int) -> Change:
    """Swallows so many writes or reads."""
    left = itertools.count(count, -1)
    return lambda data: b"" if next(left) > 0 else data


def damage(at: int) -> Change:
    """Flips a bit of this byte of the first write."""
    first = iter([True])

    def change(data: bytes) -> bytes:
        if next(first, False):
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data

    return change
