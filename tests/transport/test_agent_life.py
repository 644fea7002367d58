"""How an agent ends, and what its callers hear of it."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from agents import Connect, process_of

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import UsageError
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentLost
from hotswap.transport.pipe import PipeTransport
from hotswap.transport.protocol import PayloadWriter


def test_a_killed_agent_ends_pending_calls_at_once_and_says_how_it_died(agent: Agent, deadline: Deadline) -> None:
    agent.ping(deadline=deadline)
    causes: list[str] = []

    def run() -> None:
        with pytest.raises(AgentLost) as caught:
            agent.run(["ping", "-n", "100", "127.0.0.1"], deadline=deadline)
        causes.append(str(caught.value))

    callers = [threading.Thread(target=run) for _ in range(3)]
    for caller in callers:
        caller.start()
    deadline.wait_for(lambda: len(agent.connection.waiting) == 3, "three calls to wait")
    killed = time.monotonic()
    process_of(agent).process.kill()
    for caller in callers:
        caller.join()
    assert time.monotonic() - killed < 1
    assert len(causes) == 3
    assert all("run ping" in cause and "killed by SIGKILL" in cause for cause in causes)
    with pytest.raises(AgentLost, match=r"ping: .*SIGKILL"):
        agent.ping(deadline=deadline)


def test_the_end_of_its_input_ends_the_agent(agent: Agent, deadline: Deadline) -> None:
    agent.ping(deadline=deadline)
    process = process_of(agent).process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(5) == 0
    assert "exit code 0" in agent.connection.wait_lost(deadline)


def test_quit_ends_the_agent(agent: Agent, deadline: Deadline) -> None:
    agent.quit(deadline=deadline)
    assert process_of(agent).process.wait(5) == 0


def test_a_program_ends_with_its_agent(connect: Connect, deadline: Deadline) -> None:
    first, second = connect(), connect()
    parent = first.hello(deadline=deadline).pid
    runner = threading.Thread(target=lambda: _run_for_ever(first))
    runner.start()

    def programs() -> list[int]:
        return [process.pid for process in second.processes(deadline=deadline) if process.parent == parent]

    within = deadline.within(20)
    within.wait_for(lambda: len(programs()) == 1, "one program to run", last_seen=lambda: f"processes {programs()}")
    first.disconnect()
    runner.join()
    within.wait_for(lambda: not programs(), "the program to end with its agent")


def test_an_agent_killed_while_it_starts_programs_leaves_none(connect: Connect, deadline: Deadline) -> None:
    witness = connect()
    run = PayloadWriter().text("ping -n 100 127.0.0.1", "").u32(90_000, 1000).finish()
    for pings in range(0, 160, 20):  # how long the agent has for it: no round trip to some dozens
        agent = connect()
        agent.ping(deadline=deadline)
        for _ in range(3):
            agent.connection.send(agent.contract["HsAgentOpRun"], run, deadline, what="run", run_async=True)
        for _ in range(pings):
            witness.ping(deadline=deadline)
        process_of(agent).process.kill()
        agent.disconnect()

    def programs() -> list[str]:
        return [process.name for process in witness.processes(deadline=deadline) if process.name.lower() == "ping.exe"]

    within = deadline.within(10)
    within.wait_for(lambda: not programs(), "the programs to end", last_seen=lambda: f"{len(programs())} programs")


def _run_for_ever(agent: Agent) -> None:
    with pytest.raises(AgentLost):
        agent.run(["ping", "-n", "100", "127.0.0.1"], deadline=Deadline.after(60))


def test_disconnect_is_quick_leaves_no_process_and_may_be_repeated(agent: Agent, deadline: Deadline) -> None:
    agent.ping(deadline=deadline)
    start = time.monotonic()
    agent.disconnect()
    agent.disconnect()
    assert time.monotonic() - start < 2
    assert process_of(agent).process.returncode == 0
    assert not agent.connection.reading


def test_disconnect_kills_an_agent_that_does_not_go(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotswap.transport.pipe._GRACE_SECONDS", 0.3)
    agent = connect()
    agent.ping(deadline=Deadline.after(10))
    process = process_of(agent).process
    process.send_signal(signal.SIGSTOP)
    agent.disconnect()
    assert process.returncode == -signal.SIGKILL


def test_an_agent_that_cannot_be_started_as_asked_says_how_it_is_used(
    machine: WineMachine, build: DriverBuild, deadline: Deadline
) -> None:
    machine.connect_agent(build.agent, deadline).close()
    process = subprocess.Popen(
        machine.wine.command(r"C:\hotswap\hsagent.exe", "--nonsense"),
        env=machine.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    transport = PipeTransport(process)
    assert transport.read(100, deadline) == b""
    how = deadline.wait_for(transport.alive, "the agent to end")
    transport.close()
    assert "exit code 2; its last words: usage: hsagent --pipe" in how


def test_the_last_words_come_from_a_log_as_well(tmp_path_factory: pytest.TempPathFactory, deadline: Deadline) -> None:
    log = tmp_path_factory.mktemp("log") / "agent.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["sh", "-c", "echo first >&2; echo wine: something broke >&2; exit 7"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
        )
    transport = PipeTransport(process, log)
    how = deadline.wait_for(transport.alive, "the process to end")
    transport.close()
    assert "exit code 7; its last words: first | wine: something broke" in how


def test_a_process_without_pipes_is_refused() -> None:
    process = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    process.wait()
    with pytest.raises(UsageError, match="pipes for stdin and stdout"):
        PipeTransport(process)


def test_closing_leaves_no_file_descriptor(machine: WineMachine, build: DriverBuild) -> None:
    machine.connect_agent(build.agent, Deadline.after(30)).close()
    before = _descriptors()
    machine.connect_agent(build.agent, Deadline.after(30)).close()
    assert _descriptors() == before


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_starting_another_agent_leaves_the_image_of_a_running_one_alone(
    connect: Connect, machine: WineMachine, deadline: Deadline
) -> None:
    first = connect()
    first.ping(deadline=deadline)
    image = machine.host_path(r"C:\hotswap\hsagent.exe")
    mapped = image.stat().st_ino
    connect().ping(deadline=deadline)
    assert image.stat().st_ino != mapped, "a new file, not the old one written over"
    assert [path.name for path in image.parent.glob("*.tmp")] == []
    first.ping(deadline=deadline)
