"""What hotswap.sys may answer to each request: its documented statuses, and what its contract says of an input.

Written from driver/include/hotswap_ioctl.h, not from the driver: a request that the contract refuses and the driver
takes is a finding. Names of statuses, so that the table can be read; `Rules` makes numbers of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hotswap.codes import CodeTable
from hotswap.driver.ioctl import Ioctl, IoctlContract
from hotswap.fuzz.layout import Layout

_OK = "STATUS_SUCCESS"
_PARAMETER = "STATUS_INVALID_PARAMETER"
_NOT_FOUND = "STATUS_NOT_FOUND"
_EVENT = (_OK, _NOT_FOUND, _PARAMETER)

STATUSES: Mapping[str, tuple[str, ...]] = {
    "get_version": (_OK,),
    "configure": (
        _OK,
        _PARAMETER,
        "STATUS_INVALID_DEVICE_STATE",
        "STATUS_DEVICE_BUSY",
        "STATUS_INSUFFICIENT_RESOURCES",
    ),
    "create_worker": (_OK, _PARAMETER, "STATUS_QUOTA_EXCEEDED", "STATUS_INSUFFICIENT_RESOURCES"),
    "query_worker": (_OK, _NOT_FOUND),
    "stop_worker": (_OK, _NOT_FOUND),
    "alert_worker": (_OK, _NOT_FOUND),
    "signal_event": (*_EVENT, "STATUS_DEVICE_NOT_READY"),
    "clear_event": _EVENT,
    "query_event": _EVENT,
    "start_load": (_OK, _PARAMETER, _NOT_FOUND, "STATUS_QUOTA_EXCEEDED", "STATUS_INSUFFICIENT_RESOURCES"),
    "stop_load": (_OK, _NOT_FOUND),
    "update": (_OK, _PARAMETER),
    "query_counters": (_OK,),
    "drain_trace": (_OK, "STATUS_DEVICE_BUSY"),
    "probe_runtime": (_OK,),
    "call_endpoint": (_OK, _PARAMETER),
    "shutdown": (_OK,),
}
"""Of a request whose lengths are right. A request that may wait can be cancelled as well, or come after a shutdown."""

MAX_WAIT_REASON = 64
"""No kernel has more wait reasons; what lies between the real number and this may be refused or not."""
_KNOWN_WAIT_REASONS = 36


@dataclass(frozen=True, slots=True)
class Facts:
    """What the one who asks knows: worker ids below `next_worker` may exist, all others do not; likewise loads."""

    next_worker: int
    next_load: int


class Rules:
    """The table by number, for one build."""

    def __init__(self, contract: IoctlContract, codes: CodeTable) -> None:
        value = codes.value
        self.contract = contract
        self.codes = codes
        self.success = frozenset({0})
        self.bad_length = frozenset({value("STATUS_INFO_LENGTH_MISMATCH")})
        self.small_output = frozenset({value("STATUS_BUFFER_TOO_SMALL")})
        self.unknown = frozenset({value("STATUS_INVALID_DEVICE_REQUEST")})
        self.denied = frozenset({value("STATUS_ACCESS_DENIED")})
        self.no_handle = frozenset({value("STATUS_INVALID_HANDLE")})
        self.parameter = frozenset({value(_PARAMETER)})
        self.not_found = frozenset({value(_NOT_FOUND)})
        self.cancelled = value("STATUS_CANCELLED")
        self.gone = value("STATUS_DELETE_PENDING")
        self.by_method = {
            method: frozenset(map(value, names)) for method, names in STATUSES.items() if method in contract.ioctls
        }
        self.inputs = {method: Layout(ioctl.input) for method, ioctl in contract.ioctls.items()}
        self.outputs = {method: Layout(ioctl.output) for method, ioctl in contract.ioctls.items()}
        self._judges: Mapping[str, Callable[[bytes, Facts], frozenset[int] | None]] = {
            "create_worker": self._create_worker,
            "start_load": self._start_load,
            "update": self._update,
            "call_endpoint": self._call_endpoint,
            "query_worker": self._worker,
            "stop_worker": self._worker,
            "alert_worker": self._worker,
            "signal_event": self._event,
            "clear_event": self._event,
            "query_event": self._event,
            "stop_load": self._load,
        }

    def expected(self, ioctl: Ioctl, data: bytes, out_size: int, facts: Facts) -> frozenset[int]:
        """The statuses allowed for a request that reaches the driver, is not cancelled and is before any shutdown."""
        known = self.by_method.get(ioctl.method, frozenset())
        if len(data) != self.inputs[ioctl.method].size:
            return self.bad_length
        if out_size < ioctl.output_size:
            return self.small_output
        judge = self._judges.get(ioctl.method)
        answer = judge(data, facts) if judge else None
        return known if answer is None else answer

    def _create_worker(self, data: bytes, _facts: Facts) -> frozenset[int] | None:
        get, constants = self.inputs["create_worker"].get, self.contract.constants
        count, reason = get(data, "event_count"), get(data, "wait_reason")
        events = (1 << count) - 1 if count <= 64 else 0
        wrong = (
            not 1 <= count <= constants["HOTSWAP_MAX_EVENTS"]
            or get(data, "wait_type") > 1
            or reason >= MAX_WAIT_REASON
            or get(data, "wait_mode") > 1
            or get(data, "altertable") > 1
            or get(data, "has_timeout") > 1
            or get(data, "reserved") != 0
            or get(data, "reserved2") != 0
            or get(data, "work_microseconds") > constants.get("HOTSWAP_MAX_WORK_MICROSECONDS", 0xFFFFFFFF)
            or (get(data, "notification_mask") | get(data, "initial_state_mask")) & ~events
        )
        if wrong:
            return self.parameter
        return None if reason > _KNOWN_WAIT_REASONS else self.by_method["create_worker"] - self.parameter

    def _start_load(self, data: bytes, _facts: Facts) -> frozenset[int] | None:
        get, constants = self.inputs["start_load"].get, self.contract.constants
        threads, flags = get(data, "threads"), get(data, "flags")
        wrong = not 1 <= get(data, "target_count") <= constants["HOTSWAP_MAX_LOAD_TARGETS"] or flags > 1
        if flags == constants["HOTSWAP_LOAD_WHILE_STALLED"]:
            wrong = wrong or bool(threads or get(data, "rate_per_second") or get(data, "signal_limit"))
        else:
            wrong = wrong or not 1 <= threads <= constants["HOTSWAP_MAX_LOAD_THREADS"]
        return self.parameter if wrong else None

    def _update(self, data: bytes, _facts: Facts) -> frozenset[int] | None:
        layout = self.inputs["update"]
        last = data[-2:] != b"\0\0"
        return self.parameter if last or layout.get(data, "reserved") != 0 else self.success

    def _call_endpoint(self, data: bytes, _facts: Facts) -> frozenset[int] | None:
        get = self.inputs["call_endpoint"].get
        right = (get(data, "endpoint_id"), get(data, "argument_count")) == (3, 6)
        return self.success if right else self.parameter

    def _worker(self, data: bytes, facts: Facts) -> frozenset[int] | None:
        identifier = int.from_bytes(data[:4], "little")
        return None if 0 < identifier < facts.next_worker else self.not_found

    def _event(self, data: bytes, facts: Facts) -> frozenset[int] | None:
        if (answer := self._worker(data, facts)) is not None:
            return answer
        if int.from_bytes(data[4:8], "little") >= self.contract.constants["HOTSWAP_MAX_EVENTS"]:
            return self.not_found | self.parameter
        return None

    def _load(self, data: bytes, facts: Facts) -> frozenset[int] | None:
        identifier = int.from_bytes(data[:4], "little")
        return None if 0 < identifier < facts.next_load else self.not_found
