"""What the real agent does with frames: good ones, bad ones, repeated ones."""

from __future__ import annotations

import random
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from agents import Connect

from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import DeadlineExpired
from hotswap.machine.wine import WineMachine
from hotswap.transport.agent import Agent, AgentLost, AgentProtocolError
from hotswap.transport.base import Transport
from hotswap.transport.protocol import (
    AgentContract,
    Frame,
    FrameDecoder,
    PayloadReader,
    PayloadWriter,
    encode_frame,
)
from hotswap.transport.replies import JournalState

NONCE = 0x1234


@dataclass
class RawClient:
    """Bytes to the agent and frames back, with nothing in between."""

    transport: Transport
    contract: AgentContract
    decoder: FrameDecoder = field(init=False)
    held: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.decoder = FrameDecoder(self.contract)

    def frame(self, op: str, request_id: int, payload: bytes = b"") -> bytes:
        return encode_frame(self.contract, Frame(self.contract[f"HsAgentOp{op}"], 0, NONCE, request_id, payload))

    def send(self, data: bytes) -> None:
        self.transport.write(data, Deadline.after(10))

    def reply(self, seconds: float = 10) -> Frame:
        deadline = Deadline.after(seconds)
        while not self.held:
            data = self.transport.read(1 << 16, deadline)
            assert data, "the agent ended"
            self.held += self.decoder.feed(data)
        return self.held.pop(0)

    def error(self) -> tuple[int, int, int]:
        """Request id, domain and code of the next reply, which must be an error."""
        reply = self.reply()
        assert reply.flags & self.contract["HSAGENT_FLAG_ERROR"]
        reader = PayloadReader(reply.payload, "error")
        return reply.id, reader.u32(), reader.u32()


@pytest.fixture
def raw(machine: WineMachine, build: DriverBuild, agent_contract: AgentContract) -> Iterator[RawClient]:
    transport = machine.connect_agent(build.agent, Deadline.after(30))
    yield RawClient(transport, agent_contract)
    transport.close()


def protocol_error(contract: AgentContract, name: str) -> tuple[int, int]:
    return contract["HsAgentDomainProtocol"], contract[f"HsAgentProtocol{name}"]


def test_hello_names_versions_and_the_guest(agent: Agent, deadline: Deadline) -> None:
    hello = agent.hello(deadline=deadline)
    assert hello.protocol == 2
    assert hello.agent_version == "0.1.0"
    assert hello.wine_version
    assert hello.boot_id.version == 4
    assert hello.tick_frequency == 10_000_000
    assert hello.os_version[0] >= 6
    assert hello.processors >= 1
    assert hello.pid in [process.pid for process in agent.processes(deadline=deadline)]


def test_the_boot_id_outlives_an_agent_and_not_a_boot(
    connect: Connect, build: DriverBuild, agent_contract: AgentContract, deadline: Deadline
) -> None:
    first = connect()
    before = first.hello(deadline=deadline)
    first.disconnect()
    after = connect().hello(deadline=deadline)
    assert after.boot_id == before.boot_id
    assert after.session_id != before.session_id
    with WineMachine() as other:
        other.start(Deadline.after(60))
        with Agent(other.connect_agent(build.agent, deadline), agent_contract) as elsewhere:
            assert elsewhere.hello(deadline=deadline).boot_id != before.boot_id


def test_a_guest_is_named_anew_and_its_ids_with_it(agent: Agent, deadline: Deadline) -> None:
    before = agent.hello(deadline=deadline)
    assert before.computer_name
    try:
        agent.identify("HS-OTHER", deadline=deadline)
        after = agent.hello(deadline=deadline)
        assert after.computer_name == "HS-OTHER"
        assert after.boot_id.version == after.session_id.version == 4
        assert len({before.boot_id, after.boot_id, before.session_id, after.session_id}) == 4
        said = agent.run(["cmd", "/c", "echo %COMPUTERNAME%"], deadline=deadline)
        assert said.stdout.decode().strip() == "HS-OTHER", "a program that starts later sees it"
        for name in ("", "sixteen-letters-"):
            with pytest.raises(AgentProtocolError, match="1 to 15 characters"):
                agent.identify(name, deadline=deadline)
        assert agent.hello(deadline=deadline).boot_id == after.boot_id
    finally:
        agent.identify(before.computer_name, deadline=deadline)


def test_an_agent_of_another_protocol_version_is_told(agent: Agent, deadline: Deadline) -> None:
    agent.contract = replace(agent.contract, values={**agent.contract.values, "HSAGENT_PROTOCOL_VERSION": 99})
    with pytest.raises(AgentProtocolError, match="speaks protocol 2, this harness 99"):
        agent.hello(deadline=deadline)


def test_clock_reads_the_system_time_between_two_ticks(agent: Agent, deadline: Deadline) -> None:
    first, second = agent.clock(deadline=deadline), agent.clock(deadline=deadline)
    assert first.ticks_before <= first.ticks_after < second.ticks_before
    elapsed_ticks = second.ticks_before - first.ticks_before
    assert abs((second.system_time - first.system_time) - elapsed_ticks) < 500_000  # 50 ms at 10 MHz


def test_garbage_before_a_request_is_stepped_over(raw: RawClient) -> None:
    noise = random.Random(3).randbytes(100_000) + b"HSA1" + bytes(36) + b"HSA"
    raw.send(noise + raw.frame("Ping", 1))
    assert raw.reply().id == 1


def test_a_request_in_single_bytes_is_put_together(raw: RawClient) -> None:
    for byte in raw.frame("Ping", 1):
        raw.send(bytes([byte]))
    assert raw.reply().id == 1


def test_a_damaged_payload_is_answered_and_the_same_id_may_come_again(raw: RawClient) -> None:
    whole = raw.frame("FileStat", 7, PayloadWriter().text(r"C:\windows").finish())
    raw.send(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert raw.error() == (7, *protocol_error(raw.contract, "BadPayload"))
    raw.send(whole)
    reply = raw.reply()
    assert (reply.id, reply.flags & raw.contract["HSAGENT_FLAG_ERROR"]) == (7, 0)


def test_a_cut_request_does_not_swallow_the_next_ones(raw: RawClient) -> None:
    cut = raw.frame("FileRemove", 1, PayloadWriter().text("C:\\" + "x" * 60).finish())[:-30]
    raw.send(cut + raw.frame("Ping", 2) + raw.frame("Ping", 3))
    assert raw.error() == (1, *protocol_error(raw.contract, "BadPayload"))
    assert [raw.reply().id, raw.reply().id] == [2, 3]


def test_too_large_a_length_is_answered_and_nobody_waits_for_it(raw: RawClient) -> None:
    rest = struct.pack("<IIQQHHI", raw.contract.frame_limit + 1, 0, NONCE, 5, raw.contract["HsAgentOpPing"], 0, 0)
    raw.send(raw.contract.magic + struct.pack("<I", zlib.crc32(rest)) + rest + raw.frame("Ping", 6))
    assert raw.error() == (5, *protocol_error(raw.contract, "TooLarge"))
    assert raw.reply().id == 6


def test_an_unknown_operation_and_a_malformed_payload_are_answered(raw: RawClient) -> None:
    raw.send(encode_frame(raw.contract, Frame(9999, 0, NONCE, 1, b"")))
    assert raw.error() == (1, *protocol_error(raw.contract, "UnknownOp"))
    raw.send(raw.frame("Ping", 2, b"too much"))
    assert raw.error() == (2, *protocol_error(raw.contract, "Malformed"))
    raw.send(raw.frame("FileStat", 3, struct.pack("<I", 0xFFFFFFFF)))
    assert raw.error() == (3, *protocol_error(raw.contract, "Malformed"))
    raw.send(raw.frame("FileStat", 4, PayloadWriter().data(b"\xff\xfe").finish()))
    assert raw.error() == (4, *protocol_error(raw.contract, "Malformed"))


def test_no_operation_dies_of_a_random_payload(raw: RawClient) -> None:
    dice = random.Random(11)
    ops = [
        code
        for name, code in raw.contract.values.items()
        # Quit ends it, and Run and FileWrite could do anything.
        if name.startswith("HsAgentOp") and name.removeprefix("HsAgentOp") not in ("Quit", "Run", "FileWrite")
    ]
    requests = [Frame(op, 0, NONCE, 0, dice.randbytes(dice.randrange(60))) for op in ops for _ in range(15)]
    for request_id, request in enumerate(requests, start=1):
        raw.send(encode_frame(raw.contract, replace(request, id=request_id)))
        assert raw.reply().id == request_id


def test_a_repeated_id_brings_the_answer_again_and_does_not_run_again(raw: RawClient) -> None:
    ping = raw.frame("Ping", 1)
    raw.send(ping)
    first = raw.reply()
    raw.send(ping)
    again = raw.reply()
    assert again.payload == first.payload
    assert again.flags & raw.contract["HSAGENT_FLAG_REPLAYED"]
    raw.send(raw.frame("Ping", 2))
    assert raw.reply().payload != first.payload


def test_a_repeated_removal_succeeds_since_it_is_not_run(agent: Agent, deadline: Deadline) -> None:
    agent.put(b"x", r"C:\repeat.bin", deadline=deadline)
    op, payload = agent.contract["HsAgentOpFileRemove"], PayloadWriter().text(r"C:\repeat.bin").finish()
    sent = agent.connection.send(op, payload, deadline, what="remove")
    first = sent.result(deadline)
    again = agent.connection.send(op, payload, deadline, what="again", repeat=sent.request_id).result(deadline)
    assert not first.flags & agent.contract["HSAGENT_FLAG_ERROR"]
    assert not again.flags & agent.contract["HSAGENT_FLAG_ERROR"]
    assert again.flags & agent.contract["HSAGENT_FLAG_REPLAYED"]


def test_the_journal_knows_what_ran_what_runs_and_what_never_came(agent: Agent, deadline: Deadline) -> None:
    ids: list[int] = []

    def run() -> None:
        agent.run(["ping", "-n", "100", "127.0.0.1"], time_limit=1.5, deadline=deadline)

    sent = agent.connection.send(agent.contract["HsAgentOpPing"], b"", deadline, what="ping")
    sent.result(deadline)
    ids.append(sent.request_id)
    runner = threading.Thread(target=run)
    runner.start()
    running = sent.request_id + 1
    deadline.wait_for(
        lambda: agent.journal(running, deadline=deadline) is JournalState.RUNNING, "the journal to say running"
    )
    runner.join()
    assert agent.journal(sent.request_id, deadline=deadline) is JournalState.DONE
    assert agent.journal(running, deadline=deadline) is JournalState.DONE
    assert agent.journal(1_000_000, deadline=deadline) is JournalState.UNKNOWN
    assert agent.journal(sent.request_id, nonce=1, deadline=deadline) is JournalState.UNKNOWN


def test_an_answer_that_is_not_kept_any_more_is_never_run_again(raw: RawClient) -> None:
    for request_id in range(1, 1027):
        raw.send(raw.frame("Ping", request_id))
        assert raw.reply().id == request_id
    raw.send(raw.frame("Ping", 1))
    assert raw.error() == (1, *protocol_error(raw.contract, "AnswerGone"))
    raw.send(raw.frame("Ping", 1026))
    assert raw.reply().flags & raw.contract["HSAGENT_FLAG_REPLAYED"]


def test_large_answers_make_room_for_each_other_and_small_ones_stay(raw: RawClient, connect: Connect) -> None:
    connect().put(bytes(4 << 20), r"C:\large.bin", deadline=Deadline.after(30))
    read = PayloadWriter().text(r"C:\large.bin").u64(0).u32(3 << 20).finish()
    for request_id in range(1, 9):
        raw.send(raw.frame("FileRead", request_id, read))
        assert len(raw.reply().payload) > 3 << 20
    raw.send(raw.frame("FileRead", 1, read))
    assert raw.error() == (1, *protocol_error(raw.contract, "AnswerGone"))
    raw.send(raw.frame("FileRead", 8, read))
    assert raw.reply().flags & raw.contract["HSAGENT_FLAG_REPLAYED"]


def test_ping_stays_fast_while_a_program_runs(agent: Agent, deadline: Deadline) -> None:
    runner = threading.Thread(
        target=lambda: agent.run(["ping", "-n", "100", "127.0.0.1"], time_limit=2, deadline=deadline)
    )
    runner.start()
    frequency = agent.clock(deadline=deadline).tick_frequency
    start = agent.ping(deadline=deadline)
    pings = 0
    while runner.is_alive():
        agent.ping(deadline=Deadline.after(1))
        pings += 1
    seconds = (agent.ping(deadline=deadline) - start) / frequency
    assert seconds > 1.5
    assert pings / seconds > 200, f"{pings} pings in {seconds:.1f} s"


def test_many_threads_get_their_own_answers(agent: Agent, deadline: Deadline) -> None:
    sizes = {f"C:\\own{index}.bin": index * 1000 for index in range(8)}
    for path, size in sizes.items():
        agent.put(bytes(size), path, deadline=deadline)
    wrong: list[str] = []

    def check(path: str) -> None:
        for _ in range(50):
            if agent.stat(path, deadline=deadline).size != sizes[path]:
                wrong.append(path)

    threads = [threading.Thread(target=check, args=(path,)) for path in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_call_that_gets_no_answer_in_time_says_so_and_the_next_one_works(agent: Agent, deadline: Deadline) -> None:
    op = agent.contract["HsAgentOpRun"]
    payload = PayloadWriter().text("ping -n 100 127.0.0.1", "").u32(1000, 1000).finish()
    pending = agent.connection.send(op, payload, deadline, what="run", run_async=True)
    with pytest.raises(DeadlineExpired, match="run: the agent did not answer in time"):
        pending.result(Deadline.after(0.05))
    assert agent.ping(deadline=deadline)
    assert pending.result(deadline).id == pending.request_id


def test_lost_is_latched_with_its_first_cause(agent: Agent, deadline: Deadline) -> None:
    agent.disconnect()
    for _ in range(2):
        with pytest.raises(AgentLost, match="ping: this side closed the stream"):
            agent.ping(deadline=deadline)
