"""How a call to the agent is made: a request, its reply, and what an error reply says."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from hotswap.codes import CodeTable
from hotswap.deadline import Deadline
from hotswap.errors import GuestFault
from hotswap.transport.changes import GuestChanges
from hotswap.transport.connection import Connection, PendingReply
from hotswap.transport.protocol import AgentContract, AgentProtocolError, Frame, PayloadReader

_UNDER_WAY = 3

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


class AgentCalls:
    """What every group of operations rests on."""

    contract: AgentContract
    codes: CodeTable
    connection: Connection
    changes: GuestChanges
    """What this client has left behind in the guest so far."""

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


def guest_limit_ms(deadline: Deadline) -> int:
    """A time limit for the guest's side, so that its answer still arrives before the deadline."""
    remaining = deadline.remaining
    return max(1, min(int((remaining - min(0.5, remaining / 5)) * 1000), 0x7FFFFFFF))
