"""The client of hsagent.exe: one method per operation, typed results, every call with a deadline."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from uuid import UUID

from hotswap.codes import CodeTable
from hotswap.deadline import Deadline
from hotswap.errors import HotswapError
from hotswap.transport.agent_calls import AgentError
from hotswap.transport.agent_devices import DeviceCalls, PendingIoctl
from hotswap.transport.agent_files import FileCalls
from hotswap.transport.agent_programs import ProgramCalls
from hotswap.transport.agent_services import ServiceCalls
from hotswap.transport.agent_trace import TraceCalls
from hotswap.transport.base import Reconnection, Transport
from hotswap.transport.changes import GuestChanges
from hotswap.transport.connection import AgentLost, Connection
from hotswap.transport.protocol import AgentContract, AgentProtocolError, PayloadWriter
from hotswap.transport.replies import ClockSample, Hello, JournalState
from hotswap.transport.returning import ReturningConnection

__all__ = ["Agent", "AgentError", "AgentLost", "AgentProtocolError", "PendingIoctl"]

# As the agent needs at most to finish a trace.
_RELEASE_SECONDS = 12.0


class Agent(FileCalls, ServiceCalls, DeviceCalls, TraceCalls, ProgramCalls):
    """An agent at the other end of a transport, which this object owns from now on: `disconnect`, or use as a context.

    Safe for any number of threads. Every call raises AgentError when the guest refuses, AgentLost when the agent is
    gone, DeadlineExpired when no answer came in time, AgentProtocolError when the two ends do not match.
    Guest paths are Windows paths. Handles are numbers of the agent's own.
    """

    def __init__(
        self,
        transport: Transport,
        contract: AgentContract,
        codes: CodeTable | None = None,
        *,
        nonce: int | None = None,
        reconnection: Reconnection | None = None,
    ) -> None:
        """`reconnection` is for an agent that stays when its stream breaks: calls then go on over another stream."""
        self.contract = contract
        self.codes = codes or CodeTable()
        self.changes = GuestChanges()
        self.connection: Connection
        if reconnection is None:
            self.connection = Connection(transport, contract, nonce=nonce)
        else:
            self.connection = ReturningConnection(transport, contract, reconnection, nonce=nonce)
        self._stays = reconnection is not None

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """End the stream; the agent then finishes a running trace and ends. Waits for that.

        An agent that stays finishes the trace that this client runs, and closes its handles.
        """
        if self._stays:
            with suppress(HotswapError):  # gone already, or not answering: there is nothing to let go of
                self._call("Release", b"", Deadline.after(_RELEASE_SECONDS), "release")
        self.connection.close()

    def hello(self, *, deadline: Deadline) -> Hello:
        """Who is there. Raises AgentProtocolError when it speaks another version of the protocol."""
        reader = self._call("Hello", b"", deadline, "hello")
        protocol = reader.u32()
        if protocol != self.contract["HSAGENT_PROTOCOL_VERSION"]:
            raise AgentProtocolError(
                f"hello: the agent speaks protocol {protocol}, this harness "
                f"{self.contract['HSAGENT_PROTOCOL_VERSION']}: deploy the agent of this build"
            )
        version = ".".join(str(reader.u32()) for _ in range(3))
        boot_id, session_id = (UUID(bytes_le=reader.data()) for _ in range(2))
        os_version = (reader.u32(), reader.u32(), reader.u32())
        answer = Hello(
            protocol=protocol,
            agent_version=version,
            boot_id=boot_id,
            session_id=session_id,
            os_version=os_version,
            wine_version=reader.text() or None,
            pid=reader.u32(),
            processors=reader.u32(),
            tick_frequency=reader.u64(),
            ticks=reader.u64(),
            computer_name=reader.text(),
        )
        reader.finish()
        return answer

    def identify(self, computer_name: str, *, deadline: Deadline) -> None:
        """Of a guest that goes on as another one, as the fork of a running guest does: name it anew, at once.

        Boot id and session id are new as well: for a client with a reconnection this is another agent from now on.
        """
        payload = PayloadWriter().text(computer_name).finish()
        self._call("Identify", payload, deadline, f"naming the guest {computer_name}").finish()

    def ping(self, *, deadline: Deadline) -> int:
        """The guest's ticks."""
        reader = self._call("Ping", b"", deadline, "ping")
        ticks = reader.u64()
        reader.finish()
        return ticks

    def clock(self, *, deadline: Deadline) -> ClockSample:
        """The guest's ticks and system time, together."""
        reader = self._call("Clock", b"", deadline, "clock")
        sample = ClockSample(reader.u64(), reader.u64(), reader.u64(), reader.u64())
        reader.finish()
        return sample

    def journal(self, request_id: int, *, nonce: int | None = None, deadline: Deadline) -> JournalState:
        """What the agent knows of a request, of this client or of another."""
        payload = PayloadWriter().u64(self.connection.nonce if nonce is None else nonce, request_id).finish()
        reader = self._call("Journal", payload, deadline, f"journal of request {request_id}")
        state = JournalState(reader.u32())
        reader.finish()
        return state

    def quit(self, *, deadline: Deadline) -> None:
        """Ask the agent to end, and wait until its stream has ended; one that stays is not waited for."""
        self.connection.expect_end()
        self._call("Quit", b"", deadline, "quit").finish()
        if self._stays:
            self.connection.close()
        else:
            self.connection.wait_lost(deadline)
