"""What checks of extensions, registrations and swaps are made of.

Id i of an `Extension` leads to endpoint i, an echo function, of the version in force: 1 once the extension is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hotswap.conformance.check import CheckFailed, Inconclusive, expect, expect_equal
from hotswap.conformance.events import TraceEvent
from hotswap.conformance.objects import (
    NO_DRIVER,
    NONE,
    Callback,
    Condition,
    DriverObject,
    Endpoint,
    Function,
    FunctionKind,
    Phase,
)
from hotswap.conformance.replies import Called, Registered
from hotswap.conformance.requests import (
    Behave,
    Call,
    CreateExtension,
    DeleteExtension,
    LookupAll,
    LookupId,
    LookupPointer,
    Register,
    SetOptions,
    Wait,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending
    from hotswap.driver.ioctl import NtStatus

SUCCESS = 0x00000000
ALERTED = 0x00000101
TIMEOUT = 0x00000102
PENDING = 0x00000103
DEVICE_BUSY = 0x80000011
UNSUCCESSFUL = 0xC0000001
DELETE_PENDING = 0xC0000056
INSUFFICIENT_RESOURCES = 0xC000009A
NOT_SUPPORTED = 0xC00000BB
INVALID_PARAMETER_1 = 0xC00000EF
INVALID_PARAMETER_2 = 0xC00000F0
INVALID_PARAMETER_3 = 0xC00000F1
POSSIBLE_DEADLOCK = 0xC0000194
NOT_FOUND = 0xC0000225
PROCEDURE_NOT_FOUND = 0xC000007A
DRIVER_BLOCKED = 0xC000036C
RESOURCE_IN_USE = 0xC0000708

COMPAT = ("compat",)
"""For checks that need the switches of the compat runtime, or hold it to a choice that is ours."""

_NAMES = {value: f"STATUS_{name}" for name, value in dict(globals()).items() if name.isupper()}

PHASES = ("PreProcess", "ProxyStalled", "PostProcess")
_FIELDS = ("pre_process", "proxy_stalled", "post_process")
_HELD = ("extensions", "wrappers", "proxy_threads", "proxy_allocations", "active_calls", "held_calls")
_QUIET_MS = 25
PROBE = 15
"""The id of an endpoint that returns at once."""
_STEP = "Proxy"
_OF_THREADS = ("ProxyThreadStart", "ProxyThreadEnd", "ProxyFirstHeld")


def expect_status(seen: int, wanted: int, what: str) -> None:
    """CheckFailed with the names of both unless they are equal."""
    if seen != wanted:
        raise CheckFailed(f"{what}: expected {_NAMES.get(wanted, f'0x{wanted:08X}')}, saw {seen!r}")


def expect_refused(seen: int, what: str) -> None:
    """CheckFailed unless this is an NTSTATUS that says failure: not NT_SUCCESS."""
    expect(seen >= 0x80000000, f"{what}: expected a failure, saw {seen!r}")


def in_phase(phase: int, what: Phase, others: Phase | None = None, *, context: int = 0) -> Callback:
    """A callback that does `what` in phase 0 to 2, and `others` in the other two."""
    return callback({phase: what}, others, context=context)


def callback(phases: Mapping[int, Phase], others: Phase | None = None, *, context: int = 0) -> Callback:
    """A callback by phase number."""
    usual = others or Phase()
    return Callback(**{name: phases.get(at, usual) for at, name in enumerate(_FIELDS)}, context=context)


class Extension:
    """An extension whose ids 0.. lead to the echo functions of one version; lane 0 unless told otherwise."""

    def __init__(
        self,
        c: ConformanceDriver,
        ids: int = 1,
        *,
        number: int = 0,
        driver: DriverObject = NO_DRIVER,
        parameters: int = 2,
        drain_timeout_ms: int = 0,
        traced: bool = False,
        probe: bool = False,
        **options: bool,
    ) -> None:
        """With `ids` 0 nothing is registered. Only the compat runtime has options and tells its `Steps` (`traced`).

        `probe`: the id PROBE, too, for `swap_calls.begin_until_held`.
        """
        self.c = c
        self.number = number
        self.parameters = parameters
        self._wrappers: dict[int, Function] = {}
        reply = c.run(CreateExtension(number, driver))
        expect_status(reply.status, SUCCESS, "creating the extension")
        self.pointer = reply.pointer
        if traced or drain_timeout_ms or options:
            self.set_options(drain_timeout_ms=drain_timeout_ms, **options)
        if probe:
            c.run(Behave(0, PROBE, quiet=True))
        if ids or probe:
            self.swap(1, (*range(ids), *([PROBE] if probe else [])))

    def set_options(self, *, drain_timeout_ms: int = 0, **options: bool) -> None:
        """All options of the compat runtime; those not given are as they are by default."""
        request = SetOptions(self.number, drain_timeout_ms=drain_timeout_ms, **options)
        expect_status(self.c.run(request).status, SUCCESS, "setting the options")

    def delete(self) -> NtStatus:
        """Free it, compat only."""
        return self.c.run(DeleteExtension(self.number)).status

    # Registration

    def endpoints(self, version: int, ids: Iterable[int] = (0,)) -> list[Endpoint]:
        """Elements of an array: id i leads to echo i of this version."""
        return [Endpoint(i, Function.echo(version, i % 16), self.parameters) for i in ids]

    def request(self, version: int, ids: Iterable[int] = (0,), callback: Callback | None = None) -> Register:
        """The registration of a version."""
        return Register(self.number, self.endpoints(version, ids), callback)

    def swap(self, version: int, ids: Iterable[int] = (0,), callback: Callback | None = None) -> Registered:
        """Register a version; CheckFailed unless that succeeds."""
        reply = self.try_swap(version, ids, callback)
        expect_status(reply.status, SUCCESS, f"registering version {version}")
        return reply

    def try_swap(self, version: int, ids: Iterable[int] = (0,), callback: Callback | None = None) -> Registered:
        """Register a version, whatever comes of it."""
        return self.c.run(self.request(version, ids, callback))

    def begin_swap(
        self, version: int, ids: Iterable[int] = (0,), callback: Callback | None = None, *, lane: int = 1
    ) -> Pending[Registered]:
        """Begin it on a thread of its own."""
        return self.c.begin(self.request(version, ids, callback), lane=lane)

    def begin_stalled(
        self, version: int, ids: Iterable[int] = (0,), *, gate: int, status: int = 0
    ) -> Pending[Registered]:
        """Begin it on lane 1, and return when its ProxyStalled callback waits at this gate."""
        stays = in_phase(1, Phase(status, gate=gate))
        pending = self.begin_swap(version, ids, stays)
        self.c.wait(Condition.at_gate(gate))
        return pending

    def register(self, *endpoints: Endpoint, callback: Callback | None = None) -> Registered:
        """Register these, whatever comes of it."""
        return self.c.run(Register(self.number, endpoints, callback))

    # Lookup

    def wrapper(self, id_: int = 0) -> Function:
        """The wrapper of an id; looked up once."""
        if id_ not in self._wrappers:
            found = self.c.run(LookupId(self.number, id_))
            expect(found.found, f"id {id_} has no wrapper")
            self._wrappers[id_] = Function.wrapper(found.wrapper)
        return self._wrappers[id_]

    def address(self, id_: int = 0) -> int:
        """Of the wrapper of an id, looked up now; 0: there is none."""
        return self.c.run(LookupId(self.number, id_)).address

    def addresses(self, ids: Sequence[int]) -> list[int]:
        """Of the wrappers of up to 16 ids."""
        return [found.address for found in self.c.run(LookupAll(self.number, ids=ids)).by_id]

    def expect_unknown(self, ids: Sequence[int], why: str) -> None:
        """CheckFailed when one of these ids has a wrapper."""
        for id_, address in zip(ids, self.addresses(ids), strict=True):
            expect(address == 0, f"id {id_} has a wrapper at {address:#x}, though {why}")

    # Calls

    def call(self, id_: int = 0, arguments: Sequence[int] = (), *, lane: int = 0) -> Called:
        """Call the wrapper of an id."""
        return self.c.run(Call(self.wrapper(id_), arguments), lane=lane)

    def begin_call(self, id_: int = 0, arguments: Sequence[int] = (), *, lane: int) -> Pending[Called]:
        """Begin a call on another thread."""
        return self.c.begin(Call(self.wrapper(id_), arguments), lane=lane)

    def begin_inside(self, id_: int = 0, *, version: int = 1, lane: int) -> Pending[Called]:
        """Begin a call, and return when it is inside its endpoint; there `Behave` has to keep it."""
        before = self.c.endpoint(version, id_).inside
        pending = self.begin_call(id_, lane=lane)
        self.c.wait(Condition.endpoint_inside(version, id_, before + 1))
        return pending

    def expect_versions(self, versions: Mapping[int, int], why: str) -> None:
        """CheckFailed unless a call of each id reaches its version's function."""
        for id_, version in versions.items():
            reached = self.call(id_)
            seen = (reached.seen_kind, reached.seen_version, reached.seen_endpoint)
            expect_equal(seen, (FunctionKind.ECHO, version, id_ % 16), f"what a call of id {id_} reached, {why}")

    def expect_version(self, version: int, ids: Iterable[int] = (0,), why: str = "after the swap") -> None:
        """CheckFailed unless calls of these ids reach this version."""
        self.expect_versions(dict.fromkeys(ids, version), why)


def ran_in(called: Called, version: int, what: str) -> None:
    """CheckFailed unless this call reached this version, once."""
    expect_equal((called.seen_version, called.seen_calls), (version, 1), f"version and number of calls of {what}")


def phases_of(reply: Registered) -> list[int]:
    """The phases that were called, in order."""
    return [call.phase for call in reply.phases[: reply.phase_count]]


def expect_phases(reply: Registered, wanted: Sequence[int], what: str) -> None:
    """CheckFailed unless these phases were called, each once, in this order."""
    expect_equal([_phase(call) for call in phases_of(reply)], [_phase(call) for call in wanted], f"phases of {what}")


def _phase(number: int) -> str:
    return PHASES[number] if number < len(PHASES) else f"phase {number}"


def held(c: ConformanceDriver, extension: int = 0) -> tuple[int, ...]:
    """What the runtime holds, for a comparison by `expect_held`; all zero on native."""
    counters = c.counters()
    return tuple(getattr(counters, name) for name in _HELD)


def expect_held(c: ConformanceDriver, before: tuple[int, ...], what: str) -> None:
    """CheckFailed unless the runtime holds what it held."""
    expect_equal(dict(zip(_HELD, held(c), strict=True)), dict(zip(_HELD, before, strict=True)), f"held {what}")


def quiet_moment(c: ConformanceDriver) -> None:
    """Give what must not happen the time to."""
    c.run(Wait([Condition.held(NONE)], _QUIET_MS))


def expect_under_way(c: ConformanceDriver, pending: Pending[Any], why: str) -> None:
    """CheckFailed when it ends in a quiet moment."""
    quiet_moment(c)
    expect(not pending.done, f"it ended, though {why}")


class Steps:
    """What the compat runtime tells of the swaps of an extension from now on."""

    def __init__(self, c: ConformanceDriver, number: int = 0) -> None:
        self._c = c
        self._number = number
        c.trace()
        self._lost = c.counters().events_dropped

    def events(self) -> list[TraceEvent]:
        """All events since the last look. Raises Inconclusive when some were lost."""
        events = self._c.trace()
        lost = self._c.counters().events_dropped - self._lost
        if lost:
            raise Inconclusive(f"the trace ring lost {lost} events")
        return events

    def told(self) -> list[str]:
        """The steps since the last look: `PreProcess`, `Stalled`, ... but for FirstHeld, which a call tells."""
        return [
            event.name.removeprefix(_STEP)
            for event in self.events()
            if event.name.startswith(_STEP) and event["Extension"] == self._number and event.name not in _OF_THREADS
        ]


def expect_found(c: ConformanceDriver, extension: Extension, function: Function, id_: int | None, why: str) -> None:
    """CheckFailed unless this function leads to the wrapper of the id; None: to none."""
    reply = c.run(LookupPointer(extension.number, function))
    if id_ is None:
        expect_status(reply.status, NOT_FOUND, f"looking up {function}, {why}")
        expect(not reply.found, f"{function} has a wrapper at {reply.address:#x}, {why}")
    else:
        expect_status(reply.status, SUCCESS, f"looking up {function}, {why}")
        expect_equal(reply.address, extension.address(id_), f"the wrapper that {function} leads to, {why}")
