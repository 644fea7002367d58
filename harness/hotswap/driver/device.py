"""A driver's device in the guest, with one method per IOCTL of its contract."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from hotswap.deadline import Deadline
from hotswap.driver.ioctl import Ioctl, IoctlContract, NtStatus
from hotswap.errors import LabFault, UsageError

LINK = r"\\.\HotSwap"
CALL_SECONDS = 10.0
DATA_BYTES = 64 * 1024


class PendingIoctl(Protocol):
    """An IOCTL that is under way in the guest."""

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        ...

    def result(self, deadline: Deadline) -> bytes:
        """Wait for the output bytes; raises what the request failed with, or DeadlineExpired."""
        ...

    def cancel(self, *, deadline: Deadline) -> bool:
        """Ask the driver to give it up; False when it is not in flight any more. `result` tells how it ended."""
        ...


class IoctlAgent(Protocol):
    """What a device needs of the agent, and nothing of how that is reached."""

    def open(self, link: str, *, deadline: Deadline) -> int:
        """Open a device and return the agent's number for the handle."""
        ...

    def close(self, handle: int, *, deadline: Deadline) -> None:
        """Close a handle; what is in flight on it is cancelled."""
        ...

    def ioctl(self, handle: int, code: int, data: bytes, out_size: int, *, deadline: Deadline) -> bytes:
        """Send a request and return its output bytes."""
        ...

    def ioctl_begin(self, handle: int, code: int, data: bytes, out_size: int, *, deadline: Deadline) -> PendingIoctl:
        """Send a request without waiting for its end."""
        ...

    def ioctl_batch(
        self,
        handle: int,
        calls: Sequence[tuple[int, bytes, int]],
        *,
        stop_on_error: bool = False,
        deadline: Deadline,
    ) -> Sequence[tuple[int, bytes, int]]:
        """Send (code, input, output size) one after another inside the guest; failures are outcomes."""
        ...


@dataclass(frozen=True, slots=True)
class PendingReply:
    """A request under way; `result` gives the same reply object as the direct call."""

    ioctl: Ioctl
    pending: PendingIoctl

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self.pending.done

    def result(self, deadline: Deadline) -> Any:
        """Wait for the reply. Raises GuestFault when the request failed or was cancelled, DeadlineExpired."""
        return self.ioctl.reply(self.pending.result(deadline))

    def cancel(self, *, deadline: Deadline | None = None) -> bool:
        """Ask the driver to give it up; False when it has ended already. `result` tells what became of it."""
        return self.pending.cancel(deadline=deadline or Deadline.after(CALL_SECONDS))


@dataclass(frozen=True, slots=True)
class BatchReply:
    """One request of a batch: its NTSTATUS, the reply (None when it failed), and the ticks it took in the guest."""

    method: str
    status: NtStatus
    reply: Any
    ticks: int


class Device:
    """An open device; a context manager. Its methods are the IOCTLs: `device.create_worker(wait_type="any", ...)`.

    Arguments are the fields of the input structure by name or in order, zero where not given; the reply is an immutable
    object (hotswap.driver.ioctl). Every method takes `deadline=`; without it a call may take `CALL_SECONDS` of the
    device's own deadline. A request that may wait is waited for; shortly before the deadline the agent cancels it.
    Raises UsageError for requests and values that the contract does not have, GuestFault for what the guest refused.
    """

    def __init__(
        self, agent: IoctlAgent, contract: IoctlContract, link: str = LINK, *, deadline: Deadline | None = None
    ) -> None:
        if hidden := sorted(set(contract.ioctls) & set(dir(Device))):
            raise LabFault(f"the contract has requests named like a device's own methods: {', '.join(hidden)}")
        self.contract = contract
        self.link = link
        self._agent = agent
        self._deadline = deadline
        self._handle: int | None = None

    def open(self, *, deadline: Deadline | None = None) -> Self:
        """Open the device; `with Device(...) as device` does it too."""
        if self._handle is None:
            self._handle = self._agent.open(self.link, deadline=self._within(deadline))
        return self

    def close(self, *, deadline: Deadline | None = None) -> None:
        """Close the device; nothing happens when it is not open."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._agent.close(handle, deadline=self._within(deadline))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            # The first error is the one that matters; closing fails too when the guest is gone.
            error.add_note(f"closing {self.link} failed as well: {failure}")

    def call(
        self,
        method: str,
        /,
        *arguments: object,
        deadline: Deadline | None = None,
        out_size: int = DATA_BYTES,
        **fields: object,
    ) -> Any:
        """Send the request `method` and return its reply. `out_size` counts only where data may follow the reply."""
        ioctl = self.contract.ioctl(method)
        request = ioctl.request(arguments, fields)
        size = self._output_size(ioctl, out_size)
        data = self._agent.ioctl(self._opened, ioctl.code, request, size, deadline=self._within(deadline))
        return ioctl.reply(data)

    def begin(
        self,
        method: str,
        /,
        *arguments: object,
        deadline: Deadline | None = None,
        out_size: int = DATA_BYTES,
        **fields: object,
    ) -> PendingReply:
        """Send the request `method` and return at once; `deadline` is for the sending only."""
        ioctl = self.contract.ioctl(method)
        request = ioctl.request(arguments, fields)
        size = self._output_size(ioctl, out_size)
        limit = self._within(deadline)
        return PendingReply(ioctl, self._agent.ioctl_begin(self._opened, ioctl.code, request, size, deadline=limit))

    def batch(
        self,
        calls: Sequence[tuple[str, Mapping[str, object]]],
        *,
        stop_on_error: bool = False,
        deadline: Deadline | None = None,
    ) -> tuple[BatchReply, ...]:
        """Send many requests in one go: `batch([("signal_event", {"worker_id": 1, "event_index": 0}), ...])`.

        All of them are checked before the first is sent. One that may wait holds up those behind it.
        With `stop_on_error` the replies end with the first that failed.
        """
        ioctls = [self.contract.ioctl(method) for method, _ in calls]
        requests = [
            (ioctl.code, ioctl.request((), fields), self._output_size(ioctl, DATA_BYTES))
            for ioctl, (_, fields) in zip(ioctls, calls, strict=True)
        ]
        limit = self._within(deadline)
        outcomes = self._agent.ioctl_batch(self._opened, requests, stop_on_error=stop_on_error, deadline=limit)
        replies = []
        for ioctl, (code, data, ticks) in zip(ioctls, outcomes, strict=not stop_on_error):
            status = NtStatus(code, ioctl.output.codes if ioctl.output else None)
            reply = ioctl.reply(data) if status.succeeded else None
            replies.append(BatchReply(ioctl.method, status, reply, ticks))
        return tuple(replies)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Looked up in __dict__: without the contract there is nothing to find, and this must not call itself.
        contract: IoctlContract | None = self.__dict__.get("contract")
        if contract is None or name.startswith("_"):
            raise AttributeError(name)
        if name not in contract.ioctls:
            raise AttributeError(
                f"the device {self.link} has no request {name!r}; it has: {', '.join(contract.ioctls)}"
            )
        return _method(self, contract.ioctls[name])

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.contract.ioctls]

    @property
    def _opened(self) -> int:
        if self._handle is None:
            raise UsageError(f"the device {self.link} is not open: use it in a with statement, or call open() first")
        return self._handle

    def _within(self, deadline: Deadline | None) -> Deadline:
        if deadline is not None:
            return deadline
        return self._deadline.within(CALL_SECONDS) if self._deadline else Deadline.after(CALL_SECONDS)

    @staticmethod
    def _output_size(ioctl: Ioctl, out_size: int) -> int:
        return max(out_size, ioctl.output_size) if ioctl.trailing else ioctl.output_size


def _method(device: Device, ioctl: Ioctl) -> Callable[..., Any]:
    """A method that help() and completion can show: its signature has the fields of the input structure."""
    method = functools.partial(device.call, ioctl.method)
    fields = ioctl.input.fields if ioctl.input else ()
    parameters = [
        inspect.Parameter(field.attribute, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0) for field in fields
    ]
    parameters.append(inspect.Parameter("deadline", inspect.Parameter.KEYWORD_ONLY, default=None))
    described = vars(method)
    described["__signature__"] = inspect.Signature(parameters)
    described["__doc__"] = f"{ioctl.name}: returns {ioctl.output.name if ioctl.output else 'nothing'}."
    described["__name__"] = ioctl.method
    return method
