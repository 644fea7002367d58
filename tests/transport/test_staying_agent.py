"""An agent that stays: on a serial port, on the guest's own pipe, as a service; its clients come, break off and go."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from agents import Resident, attach, run_agent_program

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentError, AgentLost
from hotswap.transport.base import Reconnection
from hotswap.transport.protocol import AgentContract, Frame, FrameDecoder, PayloadReader, PayloadWriter, encode_frame
from hotswap.transport.replies import ServiceStatus
from hotswap.transport.socket import SocketTransport


def test_an_agent_answers_over_a_serial_port(resident: Resident, deadline: Deadline) -> None:
    data = bytes(range(256)) * 300
    with resident.agent() as agent:
        assert agent.hello(deadline=deadline).wine_version
        agent.put(data, r"C:\serial.bin", deadline=deadline)
        assert agent.get(r"C:\serial.bin", deadline=deadline) == data
        assert agent.connection.skipped_bytes == 0


def test_clients_come_and_go_and_the_agent_stays(resident: Resident, deadline: Deadline) -> None:
    sessions = set()
    for _ in range(3):
        with resident.agent() as agent:
            sessions.add(agent.hello(deadline=deadline).session_id)
    assert len(sessions) == 1
    assert resident.process.poll() is None


def test_what_a_client_leaves_behind_is_closed_when_it_goes(resident: Resident, deadline: Deadline) -> None:
    for _ in range(3):
        with resident.agent() as agent:
            for _ in range(60):  # of 64 that the agent keeps open
                agent.open(r"\\.\NUL", deadline=deadline)
    with resident.agent() as one, resident_on_pipe(resident) as other:
        handle = one.open(r"\\.\NUL", deadline=deadline)
        other.hello(deadline=deadline)
        other.disconnect()
        one.close(handle, deadline=deadline)


def resident_on_pipe(resident: Resident) -> Agent:
    return Agent(
        attach(resident.machine), resident.contract, reconnection=Reconnection(lambda _limit: attach(resident.machine))
    )


def test_garbage_on_the_line_is_stepped_over(resident: Resident, deadline: Deadline) -> None:
    noise = resident.connect(deadline)
    noise.write(bytes(range(256)) * 40 + b"HSA1" * 20 + b"HS", deadline)
    noise.close()
    with resident.agent() as agent:
        agent.hello(deadline=deadline)


def test_a_frame_whose_rest_never_comes_is_answered_and_given_up(resident: Resident, deadline: Deadline) -> None:
    contract = resident.contract
    request = Frame(contract["HsAgentOpFileStat"], 0, 77, 5, PayloadWriter().text("C:\\" + "x" * 5000).finish())
    whole = encode_frame(contract, request)
    stream = resident.connect(deadline)
    stream.write(whole[:-3000], deadline)
    decoder = FrameDecoder(contract)
    replies: list[Frame] = []
    while not replies:
        replies += decoder.feed(stream.read(1 << 16, deadline))
    reader = PayloadReader(replies[0].payload, "error")
    assert replies[0].id == 5
    assert (reader.u32(), reader.u32()) == (contract["HsAgentDomainProtocol"], contract["HsAgentProtocolBadPayload"])
    stream.write(encode_frame(contract, Frame(contract["HsAgentOpPing"], 0, 77, 6, b"")), deadline)
    replies.clear()
    while not replies:
        replies += decoder.feed(stream.read(1 << 16, deadline))
    assert replies[0].id == 6
    stream.close()


def test_half_a_header_does_not_swallow_the_next_client(resident: Resident, deadline: Deadline) -> None:
    contract = resident.contract
    stream = resident.connect(deadline)
    stream.write(encode_frame(contract, Frame(contract["HsAgentOpPing"], 0, 77, 9, b""))[:25], deadline)
    stream.close()
    with resident.agent() as agent:
        agent.hello(deadline=deadline)


def test_attached_clients_share_the_agent_that_serves_the_ports(resident: Resident, deadline: Deadline) -> None:
    with resident.agent() as over_serial, resident_on_pipe(resident) as over_pipe:
        first, second = over_serial.hello(deadline=deadline), over_pipe.hello(deadline=deadline)
        assert first.session_id == second.session_id
        over_pipe.put(bytes(3 << 20), r"C:\pipe.bin", deadline=deadline)
        assert over_serial.stat(r"C:\pipe.bin", deadline=deadline).size == 3 << 20


def test_a_second_agent_that_would_stay_is_refused(resident: Resident) -> None:
    ended = run_agent_program(resident.machine, "--port", "COM9")
    assert ended.returncode == 4
    assert "183: another agent does" in ended.stderr


def test_attaching_starts_an_agent_and_tells_when_it_ends(
    build: DriverBuild, agent_contract: AgentContract, deadline: Deadline
) -> None:
    with WineMachine() as machine:
        machine.start(Deadline.after(60))
        machine.connect_agent(build.agent, deadline).close()
        streams = [attach(machine) for _ in range(2)]  # at once: only one may start it
        agents = [Agent(stream, agent_contract) for stream in streams]
        assert len({agent.hello(deadline=deadline).session_id for agent in agents}) == 1
        agents[0].quit(deadline=deadline)
        assert "the agent has ended" in agents[1].connection.wait_lost(deadline)
        agents[0].disconnect()
        agents[1].disconnect()


def test_the_agent_is_installed_as_a_service_and_removed_again(
    build: DriverBuild, agent_contract: AgentContract, deadline: Deadline
) -> None:
    with WineMachine() as machine:
        machine.start(Deadline.after(60))
        machine.connect_agent(build.agent, deadline).close()
        for port in ("COM7", "COM8"):  # the second time over the first one, which runs
            ended = run_agent_program(machine, "--install", "--port", port)
            assert (ended.returncode, ended.stderr) == (0, "")
        with Agent(attach(machine), agent_contract) as agent:
            state = agent.service_query("hsagent", deadline=deadline)
            assert state.status is ServiceStatus.RUNNING
            assert (state.type, state.start_type) == (0x10, 2)
            assert state.pid == agent.hello(deadline=deadline).pid
            found = agent.run(
                ["reg", "query", r"HKLM\System\CurrentControlSet\Services\hsagent", "/s"], deadline=deadline
            )
            assert b"COM8" in found.stdout
            assert b"COM7" not in found.stdout
        assert run_agent_program(machine, "--uninstall").returncode == 0
        again = run_agent_program(machine, "--uninstall")
        assert (again.returncode, "1060" in again.stderr) == (4, True)


def test_a_port_that_is_named_wrong_is_a_usage_error(resident: Resident) -> None:
    for arguments in (["--port"], ["--port", "COM1", "COM2"], ["--install", "COM1"], ["--attach", "x"]):
        ended = run_agent_program(resident.machine, *arguments)
        assert (ended.returncode, "usage: hsagent" in ended.stderr) == (2, True)


def test_a_request_that_runs_when_the_stream_breaks_is_answered_over_the_next(
    resident: Resident, deadline: Deadline
) -> None:
    with resident.agent() as agent:
        agent.hello(deadline=deadline)
        results = []
        runner = threading.Thread(
            target=lambda: results.append(
                agent.run(["ping", "-n", "100", "127.0.0.1"], time_limit=1.0, deadline=deadline)
            )
        )
        runner.start()
        deadline.wait_for(lambda: agent.connection.waiting, "the program to be asked for")
        agent.ping(deadline=deadline)
        agent.connection.transport.close()
        runner.join()
        assert [result.timed_out for result in results] == [True]
        assert getattr(agent.connection, "returns") == 1  # noqa: B009 - only of a connection that returns


def test_an_error_is_answered_over_the_next_stream_as_well(resident: Resident, deadline: Deadline) -> None:
    with resident.agent() as agent:
        agent.hello(deadline=deadline)
        agent.connection.transport.close()
        with pytest.raises(AgentError, match="Win32 error 2"):
            agent.remove(r"C:\is-not-there", deadline=deadline)


def test_a_stream_that_does_not_come_back_ends_the_calls_with_both_causes(
    resident: Resident, deadline: Deadline
) -> None:
    stream = resident.connect(deadline)

    def connect(_limit: Deadline) -> SocketTransport:
        return SocketTransport.connect(Path("/nowhere/agent.sock"), _limit)

    with Agent(stream, resident.contract, reconnection=Reconnection(connect, seconds=0.3)) as agent:
        agent.hello(deadline=deadline)
        begun = time.monotonic()
        stream.close()
        with pytest.raises(AgentLost) as caught:
            agent.ping(deadline=deadline)
        assert 0.2 < time.monotonic() - begun < 5
        for words in ("ping: waiting for the stream to the agent to come back", "/nowhere/agent.sock", "No such file"):
            assert words in str(caught.value)


def test_another_agent_at_the_other_end_is_not_asked_again(
    build: DriverBuild, agent_contract: AgentContract, deadline: Deadline
) -> None:
    with WineMachine() as machine:
        machine.start(Deadline.after(60))
        machine.connect_agent(build.agent, deadline).close()

        def private(_limit: Deadline = deadline) -> object:
            return machine.connect_agent(build.agent, deadline)  # an agent of its own: it ends with its stream

        reconnection = Reconnection(private)  # type: ignore[arg-type]
        agent = Agent(machine.connect_agent(build.agent, deadline), agent_contract, reconnection=reconnection)
        agent.hello(deadline=deadline)
        pending = agent.connection.send(
            agent_contract["HsAgentOpRun"],
            PayloadWriter().text("ping -n 100 127.0.0.1", "").u32(60_000, 100).finish(),
            deadline,
            what="run ping",
            run_async=True,
        )
        agent.ping(deadline=deadline)
        agent.connection.transport.process.send_signal(signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(AgentLost, match=r"another agent answers .* whether this ran is not known: run ping"):
            pending.result(deadline)
        agent.disconnect()
