"""What the host driver answers, typed: the output structures of driver/include/hotswap_ioctl.h.

tests/plugin/test_host_device.py holds every name and type here against the contract that the build makes of the header.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar, cast

from hotswap.driver.ioctl import NtStatus

T = TypeVar("T")


class Runtime(IntEnum):
    """HOTSWAP_RUNTIME: who implements the DriverProxy API."""

    AUTO = 0
    NATIVE = 1
    COMPAT = 2
    PLAIN = 3


class WorkerState(IntEnum):
    """HOTSWAP_WORKER_STATE."""

    WAITING = 0
    RUNNING = 1
    STOPPING = 2
    ENDED = 3


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """HOTSWAP_VERSION_INFO. `runtime_status` says why the native runtime is not used."""

    contract_version: int
    runtime: Runtime
    runtime_status: NtStatus
    current_version: int
    tick_frequency: int
    ring_slots: int
    etw_enabled: int


@dataclass(frozen=True, slots=True)
class WorkerCreated:
    """HOTSWAP_WORKER_CREATED."""

    worker_id: int
    status: NtStatus
    thread_id: int
    process_id: int


@dataclass(frozen=True, slots=True)
class VersionCount:
    """HOTSWAP_VERSION_COUNT: a worker's iterations in one version of the endpoint driver."""

    version: int
    iterations: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """HOTSWAP_WORKER_INFO."""

    worker_id: int
    state: WorkerState
    iterations: int
    last_wait_status: NtStatus
    thread_id: int
    event_count: int
    version_count: int
    versions: tuple[VersionCount, ...]


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """HOTSWAP_WORKER_STOPPED. Bit i of `final_state_mask`: event i was signalled when the thread had ended."""

    worker_id: int
    status: NtStatus
    iterations: int
    final_state_mask: int


@dataclass(frozen=True, slots=True)
class StatusReply:
    """HOTSWAP_STATUS_REPLY."""

    status: NtStatus


@dataclass(frozen=True, slots=True)
class EventReply:
    """HOTSWAP_EVENT_REPLY. `previous_state` is what KeSetEvent, KeResetEvent or KeReadStateEvent returned."""

    previous_state: int
    notification: int
    signals: int
    accepted: int
    tick: int


@dataclass(frozen=True, slots=True)
class LoadId:
    """HOTSWAP_LOAD_ID."""

    load_id: int


@dataclass(frozen=True, slots=True)
class LoadStopped:
    """HOTSWAP_LOAD_STOPPED."""

    load_id: int
    status: NtStatus
    signals: int
    accepted: int


@dataclass(frozen=True, slots=True)
class UpdateReply:
    """HOTSWAP_UPDATE_REPLY. Times are ticks, 0 for a phase that was not reached."""

    status: NtStatus
    from_version: int
    to_version: int
    held_calls: int
    unload_status: NtStatus
    rolled_back: int
    begin: int
    loaded: int
    pre_process: int
    stalled: int
    first_held: int
    drained: int
    switched: int
    released: int
    post_process: int
    unloaded: int
    end: int


@dataclass(frozen=True, slots=True)
class Counters:
    """HOTSWAP_COUNTERS: what the host driver and the runtime hold, and totals since the start."""

    workers: int
    threads: int
    allocations: int
    events: int
    references: int
    endpoint_drivers: int
    proxy_extensions: int
    proxy_wrappers: int
    proxy_threads: int
    proxy_allocations: int
    proxy_active_calls: int
    proxy_held_calls: int
    allocation_bytes: int
    events_written: int
    events_dropped: int
    iterations: int
    signals: int


@dataclass(frozen=True, slots=True)
class RingChunk:
    """TRACE_RING_CHUNK, and the entries behind it as bytes."""

    bytes: int
    entries: int
    events_written: int
    events_dropped: int
    tick_frequency: int
    remaining: int


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """HOTSWAP_RUNTIME_INFO. `status` says why native was not chosen."""

    runtime: Runtime
    status: NtStatus
    missing_mask: int
    feature_flags: int


@dataclass(frozen=True, slots=True)
class CallReply:
    """HOTSWAP_CALL_REPLY."""

    status: NtStatus
    version: int
    result: int


@dataclass(frozen=True, slots=True)
class PauseArmed:
    """TRACE_PAUSE_ARMED: the number of the arm."""

    arm_id: int


@dataclass(frozen=True, slots=True)
class Paused:
    """TRACE_PAUSED: a thread that is stopped at a trace event, whose number is that in the driver's list."""

    arm_id: int
    thread_id: int
    event: int
    key: int
    arrival: int


@dataclass(frozen=True, slots=True)
class PauseState:
    """TRACE_PAUSE_STATE: who is stopped now, in the order of arrival; `arrivals` since the driver started."""

    arrivals: int
    arms: int
    waiting_count: int
    waiting: tuple[Paused, ...]


def typed(kind: type[T], reply: Any) -> T:
    """A reply of the dynamic contract as one of the classes above; what the class leaves out is reserved."""
    return kind(**{name: _value(hint, getattr(reply, name)) for name, hint in _members(cast(Any, kind))})


@cache
def _members(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind))


def _value(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        return tuple(_value(typing.get_args(hint)[0], item) for item in value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return typed(hint, value)
    if isinstance(hint, type) and issubclass(hint, IntEnum) and value in hint.__members__.values():
        return hint(value)
    return value
