"""What requests to the conformance driver are made of: functions, endpoints, phases, conditions.

Names and values are those of driver/include/conformance_ioctl.h; tests/contract/test_conformance_contract.py holds
them against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

NONE = 0xFFFFFFFF
"""CONFORMANCE_NONE: no object, a NULL pointer where the call takes one."""
UNTOUCHED = 0xC5C5C5C5C5C5C5C5
"""CONFORMANCE_UNTOUCHED: what out values hold before a call."""
NULL_EVENT = 0xFFFF
"""A NULL among the events of a worker."""
ENDPOINTS = 16


class FunctionKind(IntEnum):
    """CONFORMANCE_FUNCTION_KIND."""

    NULL = 0
    ROUTINE = 1
    ECHO = 2
    FLOAT = 3
    MIXED = 4
    WRAPPER = 5
    HELPER = 6
    RAW = 7


@dataclass(frozen=True, slots=True)
class Function:
    """An address in the guest that can be registered, looked up, called, or made a worker's routine.

    `routine`, `echo`, `floats` and `mixed` are functions of the driver: `version` 1..4, `index` 0..15, each at an
    address of its own. What they do is set by `Behave` for the version and index, whatever the kind.
    """

    kind: FunctionKind = FunctionKind.NULL
    version: int = 0
    index: int = 0
    value: int = 0

    @staticmethod
    def null() -> Function:
        """A NULL pointer."""
        return Function()

    @staticmethod
    def routine(version: int, index: int = 0) -> Function:
        """A worker routine. It returns 64 bits, of which a runtime is to look at the lowest 8."""
        return Function(FunctionKind.ROUTINE, version, index)

    @staticmethod
    def echo(version: int, index: int = 0) -> Function:
        """`ULONG64 (ULONG64 x 32)`: its arguments are in the reply of the call."""
        return Function(FunctionKind.ECHO, version, index)

    @staticmethod
    def floats(version: int, index: int = 0) -> Function:
        """`double (double x 6)`."""
        return Function(FunctionKind.FLOAT, version, index)

    @staticmethod
    def mixed(version: int, index: int = 0) -> Function:
        """`ULONG64 (ULONG64, double, ULONG64, double, double, ULONG64)`."""
        return Function(FunctionKind.MIXED, version, index)

    @staticmethod
    def wrapper(number: int) -> Function:
        """A wrapper by the number that a lookup gave (`Found.wrapper`)."""
        return Function(FunctionKind.WRAPPER, 0, number)

    @staticmethod
    def helper(helper: int, rva: int) -> Function:
        """An address in the image of a loaded helper driver."""
        return Function(FunctionKind.HELPER, 0, helper, rva)

    @staticmethod
    def raw(address: int) -> Function:
        """Any address."""
        return Function(FunctionKind.RAW, 0, 0, address)


class OwnerKind(IntEnum):
    """CONFORMANCE_OWNER."""

    NONE = 0
    SELF = 1
    HELPER = 2
    UNREADY = 3


@dataclass(frozen=True, slots=True)
class DriverObject:
    """A driver object in the guest, or NULL."""

    owner: OwnerKind = OwnerKind.NONE
    helper: int = 0


NO_DRIVER = DriverObject()
"""NULL."""
OWN_DRIVER = DriverObject(OwnerKind.SELF)
"""The conformance driver's own driver object."""
UNREADY_DRIVER = DriverObject(OwnerKind.UNREADY)
"""A driver object whose DriverExtension is NULL."""


def helper_driver(helper: int) -> DriverObject:
    """The driver object of a loaded helper."""
    return DriverObject(OwnerKind.HELPER, helper)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One element of the array that is registered; all raw."""

    id: int
    function: Function
    parameter_count: int = 2


@dataclass(frozen=True, slots=True)
class Phase:
    """What the phase callback does in one phase: wait at a gate, run a prepared request, spin, return `status`."""

    status: int = 0
    gate: int | None = None
    prepared: int | None = None
    spin_microseconds: int = 0


@dataclass(frozen=True, slots=True)
class Callback:
    """A phase callback: PreProcess, ProxyStalled, PostProcess. `context` is the raw pointer that it gets."""

    pre_process: Phase = Phase()
    proxy_stalled: Phase = Phase()
    post_process: Phase = Phase()
    context: int = 0


class CallKind(IntEnum):
    """CONFORMANCE_CALL_KIND: with which signature a function is called."""

    INTEGERS = 0
    FLOATS = 1
    MIXED = 2
    ROUTINE = 3
    CAUGHT = 4


class Action(IntEnum):
    """CONFORMANCE_ACTION: what an endpoint does besides."""

    NONE = 0
    PREPARED = 1
    TERMINATE_THREAD = 2
    RAISE = 3


class BenchKind(IntEnum):
    """CONFORMANCE_BENCH_KIND: what is measured, and what its rows hold (see the header)."""

    CALLS = 0
    SWAPS = 1
    LATENCY = 2


class ConditionKind(IntEnum):
    """CONFORMANCE_CONDITION_KIND."""

    ITERATIONS_AT_LEAST = 0
    WORKER_ENDED = 1
    GATE_WAITERS_AT_LEAST = 2
    LANE_DONE = 3
    HELD_CALLS_AT_LEAST = 4
    ACTIVE_CALLS_EQUAL = 5
    ENDPOINT_CALLS_AT_LEAST = 6
    ENDPOINT_INSIDE_EQUAL = 7
    EVENT_STATE = 8
    PROXY_THREADS_EQUAL = 9


@dataclass(frozen=True, slots=True)
class Condition:
    """Something to wait for."""

    kind: ConditionKind
    index: int = 0
    value: int = 0

    @staticmethod
    def iterations(worker: int, at_least: int) -> Condition:
        """A worker's routine was called that often."""
        return Condition(ConditionKind.ITERATIONS_AT_LEAST, worker, at_least)

    @staticmethod
    def ended(worker: int) -> Condition:
        """A worker's thread has ended."""
        return Condition(ConditionKind.WORKER_ENDED, worker)

    @staticmethod
    def at_gate(gate: int, at_least: int = 1) -> Condition:
        """So many threads wait at a gate."""
        return Condition(ConditionKind.GATE_WAITERS_AT_LEAST, gate, at_least)

    @staticmethod
    def lane_done(lane: int, sequence: int) -> Condition:
        """A lane has finished the request of this number (`Started.sequence`)."""
        return Condition(ConditionKind.LANE_DONE, lane, sequence)

    @staticmethod
    def held(at_least: int = 1) -> Condition:
        """The runtime holds so many calls."""
        return Condition(ConditionKind.HELD_CALLS_AT_LEAST, 0, at_least)

    @staticmethod
    def active(calls: int) -> Condition:
        """So many calls are inside wrappers, as the runtime counts."""
        return Condition(ConditionKind.ACTIVE_CALLS_EQUAL, 0, calls)

    @staticmethod
    def endpoint_calls(version: int, endpoint: int, at_least: int) -> Condition:
        """An endpoint was entered that often since the last reset."""
        return Condition(ConditionKind.ENDPOINT_CALLS_AT_LEAST, (version - 1) * ENDPOINTS + endpoint, at_least)

    @staticmethod
    def endpoint_inside(version: int, endpoint: int, calls: int) -> Condition:
        """So many calls are inside an endpoint."""
        return Condition(ConditionKind.ENDPOINT_INSIDE_EQUAL, (version - 1) * ENDPOINTS + endpoint, calls)

    @staticmethod
    def event(event: int, signalled: bool = True) -> Condition:
        """An event is, or is not, signalled."""
        return Condition(ConditionKind.EVENT_STATE, event, int(signalled))

    @staticmethod
    def proxy_threads(threads: int) -> Condition:
        """So many worker threads live, as the runtime counts."""
        return Condition(ConditionKind.PROXY_THREADS_EQUAL, 0, threads)
