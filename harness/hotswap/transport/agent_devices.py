"""Operations of the agent on devices of the guest: handles, IOCTLs, batches and scripts of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from hotswap.deadline import Deadline
from hotswap.errors import UsageError
from hotswap.transport.agent_calls import AgentCalls, guest_limit_ms
from hotswap.transport.connection import PendingReply
from hotswap.transport.protocol import PayloadWriter
from hotswap.transport.replies import IoctlOutcome, ScriptItem, ScriptOutcome

GENERIC_READ_WRITE = 0xC0000000
SHARE_READ_WRITE = 0x3

_BATCH_BYTES = 1 << 20
_BATCH_ITEM_OVERHEAD = 64
_CANCEL_SECONDS = 5.0
_NTSTATUS_FROM_WIN32 = 0xC0070000
_SCRIPT_ITEM = struct.Struct("<6I")


class PendingIoctl:
    """An IOCTL that was started. The agent issues them in the order of the calls, and before any later request."""

    def __init__(self, agent: DeviceCalls, pending: PendingReply) -> None:
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


class DeviceCalls(AgentCalls):
    """Devices. Handles are numbers of the agent's own."""

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
        pending = self._ioctl_send(handle, code, data, out_size, guest_limit_ms(deadline), deadline, run_async=False)
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
        writer = PayloadWriter().u64(handle).u32(flags, guest_limit_ms(deadline), len(calls))
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
