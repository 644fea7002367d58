"""What a state of the contract's objects is made of: immutable records, and the statuses that calls return."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from hotswap.conformance.script import NONE, VERSIONS, Entry, Function, Phase


class Status(IntEnum):
    """NTSTATUS values that the contract names."""

    SUCCESS = 0x00000000
    TIMEOUT = 0x00000102
    UNSUCCESSFUL = 0xC0000001
    INVALID_PARAMETER = 0xC000000D
    INSUFFICIENT_RESOURCES = 0xC000009A
    INVALID_PARAMETER_1 = 0xC00000EF
    INVALID_PARAMETER_2 = 0xC00000F0
    INVALID_PARAMETER_3 = 0xC00000F1
    NOT_FOUND = 0xC0000225
    RESOURCE_IN_USE = 0xC0000708
    DEVICE_BUSY = 0x80000011


class Point(IntEnum):
    """Where a call or a registration stands: what it does next."""

    WAKE = -1
    """A worker whose wait has completed, and which has not run yet: nothing shows it."""
    ENTER = 0
    """Into the wrapper; held here while the extension is stalled."""
    ARRIVE = 1
    """In the function; counted, and an event set."""
    CLEAR = 2
    GATE = 3
    ACT = 4
    LEAVE = 5
    LOCK = 10
    PRE = 11
    PRE_GATE = 12
    STALL = 13
    DRAIN = 14
    STALLED = 15
    STALLED_GATE = 16
    SWITCH = 17
    POST = 18
    POST_GATE = 19
    UNDO_STALL = 20
    UNDO_DRAIN = 21
    END = 22


class Extension(NamedTuple):
    """Options, and the registration under way."""

    owner: int
    generation: int
    """Unlike that of any earlier one of this number."""
    short_drain: bool = False
    true_ends: bool = False
    zero_events: bool = False
    raw_routine: bool = False
    keep_after_post: bool = False
    swapper: int = NONE
    """Lane of the registration under way."""
    stalled: bool = False


class Endpoint(NamedTuple):
    """What an id stands for."""

    function: Function
    parameters: int
    published: bool = True
    """False while the registration that brings it has not ended: whether a lookup finds it is open."""


class Event(NamedTuple):
    """A KEVENT."""

    notification: bool = False
    signalled: bool = False


class Behaviour(NamedTuple):
    """What a function does, as set by the step `behave`."""

    value: int = 1
    sets: int = NONE
    clears: int = NONE
    gate: int = NONE
    nested: tuple[int, int, int] | None = None
    """Extension, its generation, id."""


class CallFrame(NamedTuple):
    """A call through the wrapper of `id`; extension NONE: of the function itself."""

    extension: int
    id: int
    point: Point = Point.ENTER
    function: Function = (1, 0)


class SwapFrame(NamedTuple):
    """A registration. `old` are the endpoints replaced, None for new ones."""

    extension: int
    entries: tuple[Entry, ...]
    callback: tuple[Phase, Phase, Phase] | None
    point: Point = Point.LOCK
    old: tuple[Endpoint | None, ...] = ()
    result: int = 0
    phases: tuple[tuple[int, int], ...] = ()
    """Callbacks that have returned: phase and status."""


class SignalFrame(NamedTuple):
    """Events that are still to be set."""

    events: tuple[int, ...]


Frame = CallFrame | SwapFrame | SignalFrame
Frames = tuple[Frame, ...]


class Lane(NamedTuple):
    """A driver thread: what it does, how many requests it has ended, and what the last one returned."""

    frames: Frames = ()
    done: int = 0
    result: tuple[Any, ...] = ()
    """(value, version, endpoint) of a call; (status, phases) of a registration."""


class Worker(NamedTuple):
    """A worker thread. While its stack is empty and it lives, it waits."""

    extension: int
    id: int
    function: Function | None
    """Called without a wrapper."""
    wait_all: bool
    events: tuple[int, ...]
    timeout: str
    true_ends: bool
    frames: Frames = ()
    alive: bool = True
    wait_status: int = 0
    iterations: int = 0
    versions: tuple[int, ...] = (0,) * len(VERSIONS)
    last_status: int = 0
    handle_open: bool = True


class Actor(NamedTuple):
    """Who acts: `lane`, `worker` or `tester`."""

    kind: str
    number: int = 0


TESTER = Actor("tester")
Wrapper = tuple[int, int]
"""Extension and id: a wrapper is named by what it was first found as."""
View = Mapping[tuple[Any, ...], Any]
"""What can be seen from outside when everything rests. A frozenset: any of these is right."""
PHASE_GATES = {Point.PRE_GATE: 0, Point.STALLED_GATE: 1, Point.POST_GATE: 2}
