"""What was seen of a swap outside its trace. None stands for a witness that could not be obtained: whatever needs it is
then inconclusive, never green."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WAIT_ALL = 0
WAIT_ANY = 1


@dataclass(frozen=True, slots=True)
class WorkerDefinition:
    """A worker as it was asked for (HOTSWAP_CREATE_WORKER). Masks have bit i for event i."""

    worker: int
    wait_type: int
    event_count: int
    notification_mask: int = 0
    initial_state_mask: int = 0
    has_timeout: bool = False
    timeout: int = 0
    """100 ns; negative relative, positive absolute."""
    altertable: bool = False
    wait_mode: int = 0


@dataclass(frozen=True, slots=True)
class UpdateReply:
    """HOTSWAP_UPDATE_REPLY. Statuses are NTSTATUS, `ticks` the phases by name (0: not reached)."""

    status: int
    from_version: int
    to_version: int
    unload_status: int = 0
    rolled_back: bool = False
    held_calls: int = 0
    ticks: Mapping[str, int] = field(default_factory=dict)
    status_name: str = ""
    """The status as name and number, where the codes are known."""
    image: str = ""
    """File name of the endpoint driver that was asked for."""


@dataclass(frozen=True, slots=True)
class RingStats:
    """The trace ring over its whole life: events written and dropped by the driver, and drained by the agent."""

    written: int
    dropped: int
    drained: int


@dataclass(frozen=True, slots=True)
class ImageSnapshot:
    """Driver images at one moment. Names may be full paths of either style; only the file name counts."""

    point: str
    """When, in words: `before`, `after swap 1`, `after stop`."""
    image: str
    """File name of the endpoint driver that should be loaded then; empty: none."""
    host_loaded: bool
    """Whether the host driver should be loaded then."""
    modules: frozenset[str] | None
    """The guest's own module list."""
    maps: frozenset[str] | None
    """Images mapped by the driver host, seen from outside (/proc/PID/maps)."""
    services: frozenset[str] | None = None
    """Images whose services are not stopped, for the service manager."""
    objects: frozenset[str] | None = None
    """Which of the host driver's device and link are in the object manager's directories."""


@dataclass(frozen=True, slots=True)
class ThreadCounts:
    """Threads of the driver host (/proc/PID/task): before the workers, with them, after the stop."""

    baseline: int
    working: int
    stopped: int


@dataclass(frozen=True, slots=True)
class SwapWitnesses:
    """Everything outside the trace that the expectations of the swap test rest on."""

    expected_versions: tuple[int, ...]
    """Versions that came into force by updates that succeeded, one after the other, for example (1, 2, 1)."""
    endpoint_images: tuple[str, ...]
    """File names of the endpoint drivers that the test deployed."""
    host_images: tuple[str, ...]
    """File names of the host driver and what it brings along."""
    serviced_images: tuple[str, ...] = ()
    """File names of those of them that have a service."""
    host_objects: tuple[str, ...] = ()
    """Device and link that the host driver makes, by their names in the object manager."""
    exercised: tuple[bool, ...] = ()
    """For each expected version, whether the test ran load on it; empty: on all."""
    hold_budget_ms: float = 1000.0
    """How long a swap may hold calls."""
    workers: tuple[WorkerDefinition, ...] | None = None
    updates: tuple[UpdateReply, ...] | None = None
    middle_counters: Mapping[str, int] | None = None
    """HOTSWAP_COUNTERS by member name, while workers run."""
    final_counters: Mapping[str, int] | None = None
    """HOTSWAP_COUNTERS by member name, after the last worker ended."""
    final_states: Mapping[int, int] | None = None
    """HOTSWAP_WORKER_STOPPED.FinalStateMask by worker."""
    ring: RingStats | None = None
    trace_stop_error: str | None = None
    """Empty: the trace was stopped and its file closed without an error."""
    snapshots: tuple[ImageSnapshot, ...] | None = None
    looks: int = 0
    """How many snapshots there should be; 0: one after each update, and one after the stop."""
    threads: ThreadCounts | None = None
    driver_host_alive: bool | None = None
    """Whether the driver host lived until it was asked to stop."""
    driver_host_end: str = ""
    """What became of it, when it did not."""
    guest_faults: tuple[str, ...] = ()
    """Operations on the driver that failed through the guest's fault, one line each."""
    clock_problem: str = ""
    """What is off with the guest's clocks, or why they could not be checked; empty: nothing."""
