"""What the conformance driver answers, typed: output structures of driver/include/conformance_ioctl.h.

tests/contract/test_conformance_contract.py holds every name and type here against the header.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hotswap.conformance.objects import NONE, FunctionKind
from hotswap.driver.ioctl import NtStatus


class Runtime(IntEnum):
    """CONFORMANCE_RUNTIME."""

    AUTO = 0
    NATIVE = 1
    COMPAT = 2


@dataclass(frozen=True, slots=True)
class Result:
    """CONFORMANCE_RESULT: the call of the API itself.

    `attempts`: allocations and thread creations of the runtime meanwhile, counted when `fail_allocation` was given.
    """

    status: NtStatus
    attempts: int
    begin: int
    end: int
    irql: int
    irql_after: int


@dataclass(frozen=True, slots=True)
class WithResult:
    """A reply about one call of the API."""

    result: Result

    @property
    def status(self) -> NtStatus:
        """What the call returned."""
        return self.result.status

    @property
    def ticks(self) -> int:
        """How long the call took."""
        return self.result.end - self.result.begin


@dataclass(frozen=True, slots=True)
class Done(WithResult):
    """CONFORMANCE_DONE."""


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """CONFORMANCE_VERSION_INFO. `process_id`: of the driver's threads; `system_time` and `tick`: now."""

    contract_version: int
    runtime: Runtime
    tick_frequency: int
    driver_object: int
    options_bytes: int
    process_id: int
    system_time: int
    tick: int


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """CONFORMANCE_RUNTIME_INFO. `native_status`: success, STATUS_NOT_SUPPORTED (not enabled), PROCEDURE_NOT_FOUND."""

    runtime: Runtime
    native_status: NtStatus
    missing_mask: int
    feature_flags: int


@dataclass(frozen=True, slots=True)
class ResetReply:
    """CONFORMANCE_RESET_REPLY: what did not go (bit masks by number), and the runtime's counters afterwards."""

    status: NtStatus
    stuck_lanes: int
    stuck_workers: int
    stuck_extensions: int
    stuck_helpers: int
    extension_status: NtStatus
    extensions: int
    wrappers: int
    proxy_threads: int
    proxy_allocations: int
    active_calls: int
    held_calls: int
    allocations: int


@dataclass(frozen=True, slots=True)
class Counters:
    """CONFORMANCE_COUNTERS."""

    extensions: int
    wrappers: int
    proxy_threads: int
    proxy_allocations: int
    active_calls: int
    held_calls: int
    allocations: int
    threads: int
    calls: int
    events_written: int
    events_dropped: int
    stalled_extensions: int


@dataclass(frozen=True, slots=True)
class FeaturesReply(WithResult):
    """CONFORMANCE_FEATURES_REPLY. `guard`: the 4 bytes behind the flags, `before` unless they were written."""

    before: int
    flags: int
    guard: int


@dataclass(frozen=True, slots=True)
class ExtensionReply(WithResult):
    """CONFORMANCE_EXTENSION_REPLY. `pointer` is raw, UNTOUCHED when it was not written; `extension` whose that is."""

    pointer: int
    extension: int


@dataclass(frozen=True, slots=True)
class PhaseCall:
    """CONFORMANCE_PHASE_CALL: one call of the phase callback. `inside`: calls inside endpoints at its begin."""

    phase: int
    irql: int
    context: int
    status: NtStatus
    thread_id: int
    begin: int
    end: int
    inside: int
    calls: int


@dataclass(frozen=True, slots=True)
class Registered(WithResult):
    """CONFORMANCE_REGISTERED."""

    array_written: int
    guard_written: int
    thread_id: int
    phase_count: int
    phases: tuple[PhaseCall, ...]


@dataclass(frozen=True, slots=True)
class WrapperReply(WithResult):
    """CONFORMANCE_WRAPPER_REPLY. `wrapper` is the number for `Function.wrapper`, NONE when there is none."""

    address: int
    wrapper: int

    @property
    def found(self) -> bool:
        """Whether there is a wrapper."""
        return self.wrapper != NONE


@dataclass(frozen=True, slots=True)
class Found:
    """CONFORMANCE_FOUND."""

    status: NtStatus
    wrapper: int
    address: int


@dataclass(frozen=True, slots=True)
class LookupAllReply(WithResult):
    """CONFORMANCE_LOOKUP_ALL_REPLY."""

    by_id_count: int
    by_pointer_count: int
    by_id: tuple[Found, ...]
    by_pointer: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Called(WithResult):
    """CONFORMANCE_CALLED. `seen*`: what the endpoint saw; `seen_kind` NULL when none of the driver's was entered.

    `value` is RAX, or the bits of XMM0 for CallKind.FLOATS. From `calls` on it is about repeated calls.
    """

    value: int
    thread_id: int
    seen_kind: FunctionKind
    seen_version: int
    seen_endpoint: int
    seen_irql: int
    seen_calls: int
    seen: tuple[int, ...]
    calls: int
    version_calls: tuple[int, ...]
    changes: int
    backward: int
    wrong: int
    longest: int


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """CONFORMANCE_ENDPOINT_INFO."""

    calls: int
    inside: int
    most_inside: int
    routine_address: int
    echo_address: int
    float_address: int
    mixed_address: int


@dataclass(frozen=True, slots=True)
class EventState:
    """CONFORMANCE_EVENT_STATE. `previous_state` is what KeSetEvent, KeResetEvent or KeReadStateEvent returned."""

    previous_state: int
    notification: int
    tick: int


@dataclass(frozen=True, slots=True)
class GateState:
    """CONFORMANCE_GATE_STATE."""

    open: int
    waiting: int
    passed: int


@dataclass(frozen=True, slots=True)
class WorkerCreated(WithResult):
    """CONFORMANCE_WORKER_CREATED. Out values are UNTOUCHED when they were not written."""

    handle: int
    process_id: int
    thread_id: int
    reference_status: NtStatus
    real_thread_id: int
    start_written: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """CONFORMANCE_WORKER_INFO. `version_iterations[v]`; `last_status` are the last wait statuses, the newest first."""

    exists: int
    alive: int
    thread_id: int
    inside: int
    iterations: int
    version_iterations: tuple[int, ...]
    other_context: int
    overlaps: int
    last_context: int
    first_tick: int
    last_tick: int
    last_endpoint: int
    last_version: int
    last_irql: int
    threads: int
    last_status_count: int
    last_status: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HelperInfo(WithResult):
    """CONFORMANCE_HELPER_INFO."""

    loaded: int
    driver_size: int
    driver_object: int
    driver_start: int


@dataclass(frozen=True, slots=True)
class Attempts:
    """CONFORMANCE_ATTEMPTS."""

    status: NtStatus
    attempts: int


@dataclass(frozen=True, slots=True)
class BenchReply:
    """CONFORMANCE_BENCH_REPLY: ticks, row by row, `columns` in each."""

    status: NtStatus
    columns: int
    tick_frequency: int
    sample_count: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """CONFORMANCE_PREPARED_ID: the number of the request on its lane, for `Condition.lane_done`."""

    sequence: int


@dataclass(frozen=True, slots=True)
class PreparedResult:
    """CONFORMANCE_PREPARED_RESULT, with the bytes of the reply."""

    runs: int
    running: int
    status: NtStatus
    output_bytes: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Waited:
    """CONFORMANCE_WAITED. Bit i of `unmet`: condition i did not hold."""

    status: NtStatus
    unmet: int
    tick: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CONFORMANCE_SNAPSHOT_REPLY: all that can be compared at rest. Bit i of a mask: object i."""

    counters: Counters
    workers_existing: int
    workers_alive: int
    workers_inside: int
    handles_open: int
    worker_iterations: tuple[int, ...]
    worker_version1: tuple[int, ...]
    worker_version2: tuple[int, ...]
    worker_version3: tuple[int, ...]
    worker_version4: tuple[int, ...]
    worker_status: tuple[int, ...]
    worker_wrong: tuple[int, ...]
    event_states: tuple[int, ...]
    gates_open: int
    lanes_busy: int
    gate_waiting: bytes
    lane_done: tuple[int, ...]
    lane_status: tuple[int, ...]
    extension_pointers: tuple[int, ...]
    endpoint_calls: tuple[int, ...]
    endpoint_inside: bytes
    phase_calls: int
    lanes_draining: int
    torn: int
