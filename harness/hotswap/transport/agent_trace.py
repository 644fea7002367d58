"""Operations of the agent on the trace session that it runs in the guest."""

from __future__ import annotations

from hotswap.deadline import Deadline
from hotswap.transport.agent_calls import AgentCalls
from hotswap.transport.protocol import PayloadReader, PayloadWriter
from hotswap.transport.replies import TraceStats


class TraceCalls(AgentCalls):
    """One session at a time: a driver's trace ring drained into an .etl file."""

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
