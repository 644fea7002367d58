"""Operations of the agent on what runs in the guest: processes, loaded images, named objects, programs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from hotswap.deadline import Deadline
from hotswap.transport.agent_calls import AgentCalls, guest_limit_ms
from hotswap.transport.protocol import PayloadWriter
from hotswap.transport.replies import Module, NamedObject, Process, ProgramResult

_OUTPUT_LIMIT = 1 << 20


class ProgramCalls(AgentCalls):
    """Evidence of what runs, and programs."""

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
        limit = guest_limit_ms(deadline)
        if time_limit is not None:
            limit = max(1, min(limit, int(time_limit * 1000)))
        payload = PayloadWriter().text(subprocess.list2cmdline(argv), folder).u32(limit, _OUTPUT_LIMIT).finish()
        self.changes.program_run(argv[0])
        reader = self._call("Run", payload, deadline, f"run {argv[0]}", run_async=True)
        timed_out, exit_code = bool(reader.u32()), reader.u32()
        begin, end = reader.u64(), reader.u64()
        cut, stdout, stderr = bool(reader.u32()), reader.data(), reader.data()
        reader.finish()
        return ProgramResult(exit_code, stdout, stderr, timed_out, cut, end - begin)
