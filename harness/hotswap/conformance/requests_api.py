"""Requests that make one call of the DriverProxy API, on a thread of the driver: see `hotswap.conformance.requests`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hotswap.conformance import replies
from hotswap.conformance.objects import NO_DRIVER, OWN_DRIVER, Callback, CallKind, DriverObject, Endpoint, Function
from hotswap.conformance.request import OnLane, numbered, phases, plain

_NULL = Function()
_QUIET = Callback()


# Extensions


@dataclass(frozen=True, slots=True)
class Features(OnLane[replies.FeaturesReply]):
    """IoGetDriverProxyFeatures."""

    method: ClassVar[str] = "features"
    reply: ClassVar[Any] = replies.FeaturesReply
    driver: DriverObject = NO_DRIVER
    irql: int = 0


@dataclass(frozen=True, slots=True)
class CreateExtension(OnLane[replies.ExtensionReply]):
    """IoCreateDriverProxyExtension; the extension gets the number `extension`, 0..15. `flags` are raw."""

    method: ClassVar[str] = "create_extension"
    reply: ClassVar[Any] = replies.ExtensionReply
    extension: int = 0
    driver: DriverObject = NO_DRIVER
    flags: int = 0


@dataclass(frozen=True, slots=True)
class DeleteExtension(OnLane[replies.Done]):
    """HsDeleteDriverProxyExtension; compat only."""

    method: ClassVar[str] = "delete_extension"
    reply: ClassVar[Any] = replies.Done
    extension: int = 0


@dataclass(frozen=True, slots=True)
class SetOptions(OnLane[replies.Done]):
    """HsSetDriverProxyOptions, all of them raw; compat only. `size` 0: that of the structure."""

    method: ClassVar[str] = "set_options"
    reply: ClassVar[Any] = replies.Done
    extension: int = 0
    drain_timeout_ms: int = 0
    true_ends_thread: bool | int = False
    allow_zero_events: bool | int = False
    allow_raw_routine: bool | int = False
    keep_after_post_process: bool | int = False
    recreate_thread: bool | int = False
    timeout_once: bool | int = False
    verbose: bool | int = False
    no_notify: bool | int = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class FromDriver(OnLane[replies.ExtensionReply]):
    """IoGetDriverProxyExtensionFromDriverObject."""

    method: ClassVar[str] = "from_driver"
    reply: ClassVar[Any] = replies.ExtensionReply
    driver: DriverObject = OWN_DRIVER
    irql: int = 0


# Registration, lookup, call


@dataclass(frozen=True, slots=True)
class Register(OnLane[replies.Registered]):
    """IoRegisterDriverProxyEndpoints.

    `count` None: as many as there are. `fill`: the array gets so many elements, those past `endpoints` repeat the last
    one with rising ids. `callback` None: NULL; its context is passed raw either way. The array lies at the end of its
    block, is overwritten after the call, and the reply says whether it or what lies behind was written before.
    """

    method: ClassVar[str] = "register"
    reply: ClassVar[Any] = replies.Registered
    extension: int = 0
    endpoints: Sequence[Endpoint] = ()
    callback: Callback | None = None
    count: int | None = None
    fill: int = 0
    null_array: bool = False

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        elements = max(self.fill, len(self.endpoints))
        return {
            "caller": {"fail_allocation": self.fail_allocation},
            "extension": self.extension,
            "count": elements if self.count is None else self.count,
            "null_array": int(self.null_array),
            "with_callback": int(self.callback is not None),
            "fill": self.fill,
            "context": (self.callback or _QUIET).context,
            "phases": phases(self.callback or _QUIET),
            "endpoints": [plain(endpoint) for endpoint in self.endpoints],
        }


@dataclass(frozen=True, slots=True)
class SwapImage(OnLane[replies.Registered]):
    """HsIoHotSwapDriverProxyEndpoints: the endpoints of another image (V2)."""

    method: ClassVar[str] = "swap_image"
    reply: ClassVar[Any] = replies.Registered
    extension: int = 0
    driver: DriverObject = NO_DRIVER
    callback: Callback | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {
            "caller": {"fail_allocation": self.fail_allocation},
            "extension": self.extension,
            "driver": plain(self.driver),
            "with_callback": int(self.callback is not None),
            "context": (self.callback or _QUIET).context,
            "phases": phases(self.callback or _QUIET),
        }


@dataclass(frozen=True, slots=True)
class LookupId(OnLane[replies.WrapperReply]):
    """IoGetDriverProxyEndpointWrapper."""

    method: ClassVar[str] = "lookup"
    reply: ClassVar[Any] = replies.WrapperReply
    extension: int = 0
    id: int = 0
    irql: int = 0


@dataclass(frozen=True, slots=True)
class LookupPointer(OnLane[replies.WrapperReply]):
    """IofGetDriverProxyWrapperFromEndpoint."""

    method: ClassVar[str] = "lookup"
    reply: ClassVar[Any] = replies.WrapperReply
    extension: int = 0
    function: Function = _NULL
    irql: int = 0

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {**OnLane.fields(self), "kind": 1}


@dataclass(frozen=True, slots=True)
class LookupAll(OnLane[replies.LookupAllReply]):
    """Up to 16 lookups by id and 16 by pointer."""

    method: ClassVar[str] = "lookup_all"
    reply: ClassVar[Any] = replies.LookupAllReply
    extension: int = 0
    ids: Sequence[int] = ()
    functions: Sequence[Function] = ()


@dataclass(frozen=True, slots=True)
class Call(OnLane[replies.Called]):
    """Call a wrapper, or any other function.

    All 32 arguments are always passed; those not given are UNTOUCHED + their number. `repeat`: so often, or until
    `stop_gate` opens. At IRQL `irql`.
    """

    method: ClassVar[str] = "call"
    reply: ClassVar[Any] = replies.Called
    function: Function = _NULL
    arguments: Sequence[int] = ()
    kind: CallKind = CallKind.INTEGERS
    irql: int = 0
    repeat: int = 0
    stop_gate: int | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {**OnLane.fields(self), "stop_gate": numbered(self.stop_gate)}
