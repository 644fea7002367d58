"""What the agent answers. Ticks are those of the guest's QueryPerformanceCounter; file times are 100 ns since 1601."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Hello:
    """Who the agent is and which guest it runs in. `boot_id` is the guest boot's, `session_id` this agent's own."""

    protocol: int
    agent_version: str
    boot_id: UUID
    session_id: UUID
    os_version: tuple[int, int, int]
    wine_version: str | None
    pid: int
    processors: int
    tick_frequency: int
    ticks: int
    computer_name: str


@dataclass(frozen=True, slots=True)
class ClockSample:
    """The guest's system time (file time), read between two readings of its tick counter."""

    ticks_before: int
    system_time: int
    ticks_after: int
    tick_frequency: int


@dataclass(frozen=True, slots=True)
class FileStat:
    """Windows attributes (bits), size in bytes, last write as a file time."""

    attributes: int
    size: int
    written: int

    @property
    def is_folder(self) -> bool:
        """FILE_ATTRIBUTE_DIRECTORY."""
        return bool(self.attributes & 0x10)


class ServiceStatus(IntEnum):
    """dwCurrentState of SERVICE_STATUS."""

    STOPPED = 1
    START_PENDING = 2
    STOP_PENDING = 3
    RUNNING = 4
    CONTINUE_PENDING = 5
    PAUSE_PENDING = 6
    PAUSED = 7


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as the service manager sees it. `win32_exit` says why it is stopped; `type` 1 is a kernel driver."""

    name: str
    type: int
    status: ServiceStatus
    controls_accepted: int
    win32_exit: int
    specific_exit: int
    pid: int
    start_type: int
    binary_path: str


class IoctlOutcome(NamedTuple):
    """How one IOCTL of a batch ended: NTSTATUS (unsigned), output, ticks from before the call to after completion.

    Where the driver's status is not known, it is the Win32 error as an NTSTATUS (0xC007....).
    """

    status: int
    data: bytes
    ticks: int


class ScriptItem(NamedTuple):
    """One step of a script: `action` is a HSAGENT_SCRIPT_ACTION, `code` the IOCTL's or the access of an open."""

    action: int
    slot: int = 0
    handle: int = 0
    code: int = 0
    data: bytes = b""
    out_size: int = 0


class ScriptOutcome(NamedTuple):
    """How one step ended: HSAGENT_SCRIPT_ flags, NTSTATUS (unsigned), bytes that the driver told, and what was kept."""

    flags: int
    status: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TraceStats:
    """The state of the trace session, or of the last one.

    `events` are in the file, `dropped` did not find room in the driver's ring (since the driver started), `rejected`
    were no events, `out_of_order` ran backwards on their processor, `written` is what the driver wrote into its ring
    since it started, `remaining` was still there after the last drain. `error` says what ended the session early
    ("DeviceIoControl (drain): ERROR_ACCESS_DENIED (5)"), None when nothing did.
    """

    running: bool
    events: int
    dropped: int
    rejected: int
    out_of_order: int
    buffers: int
    bytes: int
    drains: int
    written: int
    tick_frequency: int
    remaining: int
    error_code: int
    error: str | None
    path: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the guest."""

    pid: int
    parent: int
    threads: int
    name: str


@dataclass(frozen=True, slots=True)
class Module:
    """An image that is loaded: in process `pid`, or in the kernel (`pid` 0; on Wine the driver host's)."""

    pid: int
    name: str
    path: str
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class NamedObject:
    """An object in a directory of the object manager: its type by name, and the target of a symbolic link."""

    name: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended. When `timed_out`, it was killed and the exit code is the killer's (1460)."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    output_cut: bool
    ticks: int


class JournalState(IntEnum):
    """What the agent knows of a request id (HSAGENT_JOURNAL_STATE)."""

    UNKNOWN = 0
    RUNNING = 1
    DONE = 2
    GONE = 3
