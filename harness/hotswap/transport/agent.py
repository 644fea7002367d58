"""The client of hsagent.exe: one method per operation, typed results, every call with a deadline."""

from __future__ import annotations

import hashlib
import secrets
import struct
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from uuid import UUID

from hotswap.codes import CodeTable
from hotswap.deadline import Deadline
from hotswap.errors import GuestFault, HotswapError, UsageError
from hotswap.transport.base import Reconnection, Transport
from hotswap.transport.connection import AgentLost, Connection, PendingReply
from hotswap.transport.protocol import AgentContract, AgentProtocolError, Frame, PayloadReader, PayloadWriter
from hotswap.transport.replies import (
    ClockSample,
    FileStat,
    Hello,
    IoctlOutcome,
    JournalState,
    Module,
    NamedObject,
    Process,
    ProgramResult,
    ScriptItem,
    ScriptOutcome,
    ServiceState,
    ServiceStatus,
    TraceStats,
)
from hotswap.transport.returning import ReturningConnection

__all__ = ["Agent", "AgentError", "AgentLost", "AgentProtocolError", "PendingIoctl"]

GENERIC_READ_WRITE = 0xC0000000
SHARE_READ_WRITE = 0x3

_ALL_BYTES = (1 << 64) - 1
_BATCH_BYTES = 1 << 20
_BATCH_ITEM_OVERHEAD = 64
_UNDER_WAY = 3
_OUTPUT_LIMIT = 1 << 20
_CANCEL_SECONDS = 5.0
# As the agent needs at most to finish a trace.
_RELEASE_SECONDS = 12.0
_NTSTATUS_FROM_WIN32 = 0xC0070000
_SCRIPT_ITEM = struct.Struct("<6I")

# What a caller can do about the errors that come most often.
_ADVICE = {
    2: "is the driver that makes this device, or the file, there?",
    5: "the file is in use (a driver that is loaded?), the driver host crashed, or the agent is no administrator",
    6: "the handle is not open (any more)",
    577: "the image is not signed as this guest wants it",
    1056: "it runs already: stop it first",
    1058: "the service is disabled, or has no image",
    1060: "create it first (service_create)",
    1062: "it was not started",
    1072: "it is being deleted: whoever has it open must close it, then create it again",
    1073: "it is there already: delete it first",
}


class AgentError(GuestFault):
    """The guest refused an operation.

    `domain` is 'win32' or 'ntstatus', `code` its number, `name` code and symbolic name, `operation` what was attempted
    and on what, `api` the call that failed, `ntstatus` what a driver answered where that is known (else 0).
    """

    def __init__(
        self, operation: str, domain: str, code: int, ntstatus: int, api: str, detail: str, codes: CodeTable
    ) -> None:
        self.operation = operation
        self.domain = domain
        self.code = code
        self.ntstatus = ntstatus
        self.api = api
        self.detail = detail
        self.name = codes.win32(code) if domain == "win32" else codes.ntstatus(code)
        said = f" [{codes.ntstatus(ntstatus)}]" if ntstatus and domain == "win32" else ""
        advice = detail or (_ADVICE.get(code, "") if domain == "win32" else "")
        super().__init__(f"{operation}: {api} failed: {self.name}{said}{'; ' + advice if advice else ''}")


class PendingIoctl:
    """An IOCTL that was started. The agent issues them in the order of the calls, and before any later request."""

    def __init__(self, agent: Agent, pending: PendingReply) -> None:
        self._agent = agent
        self._pending = pending

    @property
    def done(self) -> bool:
        """Whether the answer is here, so that `result` does not wait."""
        return self._pending.done

    def result(self, deadline: Deadline) -> bytes:
        """The output. Raises AgentError when it failed (995, ERROR_OPERATION_ABORTED, when it was cancelled)."""
        reader = self._agent.open_reply(self._pending.result(deadline), self._pending.what)
        reader.u64()
        reader.u64()
        data = reader.data()
        reader.finish()
        return data

    def cancel(self, *, deadline: Deadline | None = None) -> bool:
        """Ask the driver to give it up. False when it is not in flight any more. `result` tells how it ended."""
        limit = deadline or Deadline.after(_CANCEL_SECONDS)
        return self._agent.ioctl_cancel(self._pending.request_id, deadline=limit)


class Agent:
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

    # The agent itself

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
        )
        reader.finish()
        return answer

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

    # Files

    def put(self, source: Path | bytes, guest_path: str, *, deadline: Deadline) -> str:
        """Write a file, with the folders it needs; it appears when it is whole. Returns its SHA-256 (hex).

        The agent checks the hash before it renames the file into place.
        """
        data = source.read_bytes() if isinstance(source, Path) else source
        what = f"put {guest_path}"
        transfer = secrets.randbits(64)
        step = self._file_chunk
        digest = hashlib.sha256(data)
        chunks = (
            PayloadWriter().text(guest_path).u64(transfer, at).data(data[at : at + step]).finish()
            for at in range(0, max(len(data), 1), step)
        )
        try:
            for _ in self._stream("FileWrite", chunks, deadline, what):
                pass
            payload = PayloadWriter().text(guest_path).u64(transfer, len(data)).data(digest.digest()).finish()
            self._call("FileCommit", payload, deadline, what, run_async=True).finish()
        except AgentLost:
            raise
        except HotswapError as error:
            self._discard(guest_path, transfer, error)
            raise
        return digest.hexdigest()

    def get(self, guest_path: str, *, deadline: Deadline) -> bytes:
        """Read a file, as long as it is now; one that is being written may be. What came is checked by its SHA-256."""
        what = f"get {guest_path}"
        step = self._file_chunk

        def read(at: int) -> bytes:
            return PayloadWriter().text(guest_path).u64(at).u32(step).finish()

        size, first = self._part(self._call("FileRead", read(0), deadline, what))
        # The guest hashes it while the rest is on its way.
        hashed = self._begin_hash(guest_path, size, deadline)
        rest = self._stream("FileRead", (read(at) for at in range(len(first), size, step)), deadline, what)
        data = b"".join((first, *(self._part(reader)[1] for reader in rest)))
        if len(data) < size or self._digest(hashed, deadline) != hashlib.sha256(data[:size]).hexdigest():
            raise AgentProtocolError(f"{what}: what arrived is not what is there, or it changes while it is read")
        return data[:size]

    def read(self, guest_path: str, offset: int, size: int, *, deadline: Deadline) -> tuple[int, bytes]:
        """How large a file is now, and what is there from `offset` on: at most `size` bytes, and one chunk of them.

        For a file that is being written: nothing checks that two reads belong together.
        """
        payload = PayloadWriter().text(guest_path).u64(offset).u32(min(size, self._file_chunk)).finish()
        return self._part(self._call("FileRead", payload, deadline, f"read {guest_path}"))

    def remove(self, guest_path: str, *, deadline: Deadline) -> None:
        """Delete a file, or an empty folder."""
        self._call("FileRemove", PayloadWriter().text(guest_path).finish(), deadline, f"remove {guest_path}").finish()

    def file_hash(self, guest_path: str, *, limit: int | None = None, deadline: Deadline) -> str:
        """SHA-256 (hex) of a file, or of its first `limit` bytes."""
        return self._digest(self._begin_hash(guest_path, _ALL_BYTES if limit is None else limit, deadline), deadline)

    def stat(self, guest_path: str, *, deadline: Deadline) -> FileStat:
        """Size, attributes and time of a file or folder."""
        reader = self._call("FileStat", PayloadWriter().text(guest_path).finish(), deadline, f"stat {guest_path}")
        answer = FileStat(reader.u32(), reader.u64(), reader.u64())
        reader.finish()
        return answer

    # Services

    def service_create(self, name: str, guest_path: str, *, deadline: Deadline) -> None:
        """Register a kernel driver, to be started on demand."""
        payload = PayloadWriter().text(name, guest_path).finish()
        self._call("ServiceCreate", payload, deadline, f"create service {name} ({guest_path})").finish()

    def service_start(self, name: str, *, deadline: Deadline) -> None:
        """Start it; returns when the driver's DriverEntry has."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceStart", payload, deadline, f"start service {name}", run_async=True).finish()

    def service_stop(self, name: str, *, deadline: Deadline) -> ServiceState:
        """Stop it and wait until the service manager says that it is stopped."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceStop", payload, deadline, f"stop service {name}", run_async=True)
        seen = ["nothing"]

        def stopped() -> ServiceState | None:
            state = self.service_query(name, deadline=deadline)
            seen.append(state.status.name)
            return state if state.status is ServiceStatus.STOPPED else None

        return deadline.wait_for(stopped, f"service {name} to stop", last_seen=lambda: seen[-1])

    def service_delete(self, name: str, *, deadline: Deadline) -> None:
        """Unregister it; it is gone when the last handle to it is closed."""
        payload = PayloadWriter().text(name).finish()
        self._call("ServiceDelete", payload, deadline, f"delete service {name}").finish()

    def service_query(self, name: str, *, deadline: Deadline) -> ServiceState:
        """Its state; AgentError 1060 when there is no such service."""
        reader = self._call("ServiceQuery", PayloadWriter().text(name).finish(), deadline, f"query service {name}")
        state = ServiceState(
            name=name,
            type=reader.u32(),
            status=ServiceStatus(reader.u32()),
            controls_accepted=reader.u32(),
            win32_exit=reader.u32(),
            specific_exit=reader.u32(),
            pid=reader.u32(),
            start_type=reader.u32(),
            binary_path=reader.text(),
        )
        reader.finish()
        return state

    # Devices

    def open(self, link: str, *, deadline: Deadline) -> int:
        r"""Open a device (`\\.\Name`) for reading and writing; returns a handle."""
        payload = PayloadWriter().text(link).u32(GENERIC_READ_WRITE, SHARE_READ_WRITE).finish()
        reader = self._call("Open", payload, deadline, f"open {link}")
        handle = reader.u64()
        reader.finish()
        return handle

    def close(self, handle: int, *, deadline: Deadline) -> None:
        """Close a device; IOCTLs in flight on it are cancelled."""
        self._call("Close", PayloadWriter().u64(handle).finish(), deadline, f"close handle {handle}").finish()

    def ioctl(self, handle: int, code: int, data: bytes = b"", out_size: int = 0, *, deadline: Deadline) -> bytes:
        """Send an IOCTL and wait for its output. Shortly before the deadline the agent cancels it (AgentError)."""
        pending = self._ioctl_send(handle, code, data, out_size, _guest_limit_ms(deadline), deadline, run_async=False)
        return PendingIoctl(self, pending).result(deadline)

    def ioctl_begin(
        self, handle: int, code: int, data: bytes = b"", out_size: int = 0, *, deadline: Deadline
    ) -> PendingIoctl:
        """Start an IOCTL; it may take as long as it likes. `deadline` is for sending it."""
        return PendingIoctl(self, self._ioctl_send(handle, code, data, out_size, 0, deadline, run_async=True))

    def ioctl_cancel(self, request_id: int, *, deadline: Deadline) -> bool:
        """Cancel the IOCTL that this request started; False when it is not in flight."""
        payload = PayloadWriter().u64(request_id).finish()
        reader = self._call("IoctlCancel", payload, deadline, f"cancel the IOCTL of request {request_id}")
        asked = bool(reader.u32())
        reader.finish()
        return asked

    def ioctl_batch(
        self,
        handle: int,
        calls: Sequence[tuple[int, bytes, int]],
        *,
        stop_on_error: bool = False,
        deadline: Deadline,
    ) -> list[IoctlOutcome]:
        """Send IOCTLs (code, input, output size) one after the other, each timed in the guest.

        Failures are outcomes, not exceptions.
        With `stop_on_error` the list ends with the first one that failed.
        """
        outcomes: list[IoctlOutcome] = []
        for part in _batches(calls):
            outcomes += self._ioctl_batch(handle, part, stop_on_error, deadline)
            if stop_on_error and outcomes and outcomes[-1].status != 0:
                break
        return outcomes

    def script(
        self, link: str, items: Sequence[ScriptItem], *, limit_ms: int = 30_000, keep: int = 512, deadline: Deadline
    ) -> list[ScriptOutcome]:
        """Run IOCTLs by a script in the guest: opened, begun, cancelled, closed as the items say (protocol.h).

        `limit_ms` is for each wait, `keep` how many output bytes of each come back. A request that hangs ends the
        list early. UsageError when script or reply may not fit into a frame.
        """
        room = sum(min(item.out_size, keep) + 16 for item in items)
        size = sum(len(item.data) + 24 for item in items)
        if max(room, size) + 4096 > self.contract["HSAGENT_FRAME_LIMIT"]:
            raise UsageError(
                f"a script of {len(items)} items with {size} bytes in, {room} out, is too long for a frame"
            )
        parts = [PayloadWriter().text(link).u32(limit_ms, keep, len(items)).finish()]
        for item in items:
            parts.append(
                _SCRIPT_ITEM.pack(item.action, item.slot, item.handle, item.code, item.out_size, len(item.data))
            )
            parts.append(item.data)
        what = f"script of {len(items)} items on {link}"
        reader = self._call("Script", b"".join(parts), deadline, what, run_async=True)
        outcomes = []
        for _ in range(reader.u32()):
            outcomes.append(ScriptOutcome(reader.u32(), reader.u32(), reader.u32(), reader.data()))
        reader.finish()
        return outcomes

    # Traces

    def trace_start(
        self,
        device_link: str,
        drain_code: int,
        etl_guest_path: str,
        session_name: str,
        *,
        interval_ms: int = 10,
        chunk_bytes: int = 1 << 18,
        flush_ms: int = 1000,
        deadline: Deadline,
    ) -> TraceStats:
        """Drain a driver's trace ring into an .etl file, every `interval_ms`, over a handle of the agent's own.

        What the ring holds already is drained before this returns. Buffers reach the file when they are full and
        at least every `flush_ms` (1000 at most), so that a guest that dies leaves a readable file.
        """
        payload = (
            PayloadWriter()
            .text(device_link)
            .u32(drain_code)
            .text(etl_guest_path, session_name)
            .u32(interval_ms, chunk_bytes, flush_ms)
            .finish()
        )
        what = f"start trace {session_name} of {device_link} into {etl_guest_path}"
        return self._trace_state(self._call("TraceStart", payload, deadline, what, run_async=True))

    def trace_status(self, *, deadline: Deadline) -> TraceStats:
        """How the session stands. One that ended by itself has `error`."""
        return self._trace_state(self._call("TraceStatus", b"", deadline, "trace status"))

    def trace_stop(self, *, deadline: Deadline) -> TraceStats:
        """Drain the rest, complete the file, and tell what is in it; also after the session ended by itself."""
        return self._trace_state(self._call("TraceStop", b"", deadline, "stop trace", run_async=True))

    # Evidence and programs

    def processes(self, *, deadline: Deadline) -> list[Process]:
        """All processes of the guest."""
        reader = self._call("Processes", b"", deadline, "processes")
        answer = [Process(reader.u32(), reader.u32(), reader.u32(), reader.text()) for _ in range(reader.u32())]
        reader.finish()
        return answer

    def modules(self, pid: int | None = None, *, deadline: Deadline) -> list[Module]:
        """What is loaded in a process, or in the kernel (None)."""
        what = "modules of the kernel" if pid is None else f"modules of process {pid}"
        reader = self._call("Modules", PayloadWriter().u32(pid or 0).finish(), deadline, what, run_async=True)
        answer = [
            Module(reader.u32(), reader.text(), reader.text(), reader.u64(), reader.u32()) for _ in range(reader.u32())
        ]
        reader.finish()
        return answer

    def objects(self, directory: str, *, deadline: Deadline) -> list[NamedObject]:
        r"""The objects in a directory of the object manager: `\Device`; `\GLOBAL??` (Wine: `\??`) for links."""
        payload = PayloadWriter().text(directory).finish()
        reader = self._call("Objects", payload, deadline, f"list the objects in {directory}", run_async=True)
        answer = [NamedObject(reader.text(), reader.text(), reader.text()) for _ in range(reader.u32())]
        reader.finish()
        return answer

    def run(
        self,
        argv: Sequence[str],
        *,
        time_limit: float | None = None,
        folder: str = "",
        deadline: Deadline,
    ) -> ProgramResult:
        """Run a program and take its output (1 MiB of each stream at most).

        After `time_limit` seconds, and in any case shortly before the deadline, it and its children are killed, and
        the result says so.
        """
        limit = _guest_limit_ms(deadline)
        if time_limit is not None:
            limit = max(1, min(limit, int(time_limit * 1000)))
        payload = PayloadWriter().text(subprocess.list2cmdline(argv), folder).u32(limit, _OUTPUT_LIMIT).finish()
        reader = self._call("Run", payload, deadline, f"run {argv[0]}", run_async=True)
        timed_out, exit_code = bool(reader.u32()), reader.u32()
        begin, end = reader.u64(), reader.u64()
        cut, stdout, stderr = bool(reader.u32()), reader.data(), reader.data()
        reader.finish()
        return ProgramResult(exit_code, stdout, stderr, timed_out, cut, end - begin)

    # Below: how a call is made

    def _begin_hash(self, guest_path: str, limit: int, deadline: Deadline) -> PendingReply:
        payload = PayloadWriter().text(guest_path).u64(limit).finish()
        code = self.contract["HsAgentOpFileHash"]
        return self.connection.send(code, payload, deadline, what=f"hash {guest_path}", run_async=True)

    def _digest(self, pending: PendingReply, deadline: Deadline) -> str:
        reader = self.open_reply(pending.result(deadline), pending.what)
        reader.u64()
        digest = reader.data()
        reader.finish()
        return digest.hex()

    def _part(self, reader: PayloadReader) -> tuple[int, bytes]:
        """What a FileRead brings: the file's size, and bytes of it."""
        size, part = reader.u64(), reader.data()
        reader.finish()
        return size, part

    def _stream(self, op: str, payloads: Iterable[bytes], deadline: Deadline, what: str) -> Iterator[PayloadReader]:
        """Calls in order, a few of them under way at once: over a slow way the next one need not wait for an answer."""
        code = self.contract[f"HsAgentOp{op}"]
        under_way: deque[PendingReply] = deque()
        for payload in payloads:
            under_way.append(self.connection.send(code, payload, deadline, what=what))
            if len(under_way) == _UNDER_WAY:
                yield self.open_reply(under_way.popleft().result(deadline), what)
        while under_way:
            yield self.open_reply(under_way.popleft().result(deadline), what)

    @property
    def _file_chunk(self) -> int:
        return min(self.contract["HSAGENT_FILE_CHUNK"], self.connection.transport.chunk_bytes)

    def open_reply(self, reply: Frame, what: str) -> PayloadReader:
        """A reader of the reply's payload; raises what an error reply says."""
        reader = PayloadReader(reply.payload, what)
        if not reply.flags & self.contract["HSAGENT_FLAG_ERROR"]:
            return reader
        domain, code, ntstatus = reader.u32(), reader.u32(), reader.u32()
        api, detail = reader.text(), reader.text()
        if domain == self.contract["HsAgentDomainProtocol"]:
            reason = self.contract.name("HsAgentProtocol", code)
            more = f" ({detail})" if detail else ""
            raise AgentProtocolError(f"{what}: the agent did not take the request: {reason}{more}")
        kind = "ntstatus" if domain == self.contract["HsAgentDomainNtStatus"] else "win32"
        raise AgentError(what, kind, code, ntstatus, api, detail, self.codes)

    def _call(
        self, op: str, payload: bytes, deadline: Deadline, what: str, *, run_async: bool = False
    ) -> PayloadReader:
        code = self.contract[f"HsAgentOp{op}"]
        pending = self.connection.send(code, payload, deadline, what=what, run_async=run_async)
        return self.open_reply(pending.result(deadline), what)

    def _discard(self, guest_path: str, transfer: int, cause: HotswapError) -> None:
        """Remove what a failed `put` left; the cause is what the caller hears of."""
        payload = PayloadWriter().text(guest_path).u64(transfer).finish()
        try:
            self._call("FileDiscard", payload, Deadline.after(2.0), f"discard {guest_path}")
        except HotswapError as error:
            cause.add_note(f"what was written so far may be left in the guest: {error}")

    def _ioctl_send(
        self, handle: int, code: int, data: bytes, out_size: int, limit_ms: int, deadline: Deadline, *, run_async: bool
    ) -> PendingReply:
        payload = PayloadWriter().u64(handle).u32(code, out_size, limit_ms).data(data).finish()
        return self.connection.send(
            self.contract["HsAgentOpIoctl"],
            payload,
            deadline,
            what=f"IOCTL 0x{code:08X} on handle {handle}",
            run_async=run_async,
        )

    def _ioctl_batch(
        self, handle: int, calls: Sequence[tuple[int, bytes, int]], stop_on_error: bool, deadline: Deadline
    ) -> list[IoctlOutcome]:
        flags = self.contract["HSAGENT_BATCH_STOP_ON_ERROR"] if stop_on_error else 0
        writer = PayloadWriter().u64(handle).u32(flags, _guest_limit_ms(deadline), len(calls))
        for code, data, out_size in calls:
            writer.u32(code, out_size).data(data)
        what = f"batch of {len(calls)} IOCTLs on handle {handle}"
        reader = self._call("IoctlBatch", writer.finish(), deadline, what, run_async=True)
        outcomes = []
        for _ in range(reader.u32()):
            error, ntstatus, begin, end = reader.u32(), reader.u32(), reader.u64(), reader.u64()
            status = ntstatus if ntstatus or not error else _NTSTATUS_FROM_WIN32 | error
            outcomes.append(IoctlOutcome(status, reader.data(), end - begin))
        reader.finish()
        return outcomes

    def _trace_state(self, reader: PayloadReader) -> TraceStats:
        running = bool(reader.u32())
        counts = [reader.u64() for _ in range(9)]
        remaining, domain, code = reader.u32(), reader.u32(), reader.u32()
        api, path = reader.text(), reader.text()
        reader.finish()
        events, dropped, rejected, out_of_order, buffers, size, drains, written, frequency = counts
        error = f"{api}: {self.codes.win32(code)}" if domain else None
        return TraceStats(
            running=running,
            events=events,
            dropped=dropped,
            rejected=rejected,
            out_of_order=out_of_order,
            buffers=buffers,
            bytes=size,
            drains=drains,
            written=written,
            tick_frequency=frequency,
            remaining=remaining,
            error_code=code,
            error=error,
            path=path,
        )


def _guest_limit_ms(deadline: Deadline) -> int:
    """A time limit for the guest's side, so that its answer still arrives before the deadline."""
    remaining = deadline.remaining
    return max(1, min(int((remaining - min(0.5, remaining / 5)) * 1000), 0x7FFFFFFF))


def _batches(calls: Sequence[tuple[int, bytes, int]]) -> Iterator[Sequence[tuple[int, bytes, int]]]:
    """Parts whose request and reply fit into a frame each."""
    start = size = 0
    for at, (_, data, out_size) in enumerate(calls):
        needed = max(len(data), out_size) + _BATCH_ITEM_OVERHEAD
        if at > start and size + needed > _BATCH_BYTES:
            yield calls[start:at]
            start, size = at, 0
        size += needed
    if calls:
        yield calls[start:]
