"""Checks of registration by id: wrappers and replacement (R6-R8, R11, R15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import (
    NONE,
    Callback,
    CallKind,
    Condition,
    Endpoint,
    Function,
    FunctionKind,
    Phase,
)
from hotswap.conformance.requests import Behave, Call, LookupAll, LookupId, LookupPointer, Register
from hotswap.conformance.swap_rig import (
    COMPAT,
    INSUFFICIENT_RESOURCES,
    NOT_FOUND,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    expect_found,
    expect_held,
    expect_phases,
    expect_status,
    held,
    in_phase,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_FEWEST_WRAPPERS, _MOST_WRAPPERS = 255, 65536


# R6


@check("R6", "the first registration takes a NULL callback, and its endpoints can be called")
def first_without_callback(c: ConformanceDriver) -> None:
    """One id, and 32."""
    extension = Extension(c, 0)
    extension.swap(1)
    extension.expect_version(1, why="after the first registration")
    reply = c.run(Register(0, extension.endpoints(2, range(1, 33))))
    expect_status(reply.status, SUCCESS, "registering 32 more")
    extension.expect_version(2, range(1, 33), "after their first registration")


@check("R6", "a callback given at the first registration runs through all phases (our choice)", on=COMPAT)
def first_with_callback(c: ConformanceDriver) -> None:
    """With nothing to drain."""
    reply = Extension(c, 0).swap(1, callback=Callback(context=0x1234))
    expect_phases(reply, (0, 1, 2), "the first registration")


@check("R6", "a first registration that a phase refuses leaves no wrapper", on=COMPAT, each=(0, 1, 2))
def first_refused(c: ConformanceDriver, phase: int) -> None:
    """The ids stay unknown, nothing is held, and the next try works."""
    extension = Extension(c, 0)
    before = held(c)
    reply = extension.try_swap(1, range(3), in_phase(phase, Phase(UNSUCCESSFUL)))
    expect_status(reply.status, UNSUCCESSFUL, "the refused registration")
    extension.expect_unknown(range(3), "their registration was refused")
    expect_found(c, extension, Function.echo(1, 0), None, "after its registration was refused")
    expect_held(c, before, "after the refusal")
    extension.swap(2, range(3))
    extension.expect_version(2, range(3), "after the second try")


# R7


@check("R7", "each id has a wrapper of its own, which is not the endpoint")
def wrapper_of_each_id(c: ConformanceDriver) -> None:
    """Any number serves as an id."""
    extension = Extension(c, 0)
    ids = (1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    endpoints = [Endpoint(id_, Function.echo(1, at)) for at, id_ in enumerate(ids)]
    expect_status(extension.register(*endpoints).status, SUCCESS, "registering")
    addresses = extension.addresses(ids)
    functions = {c.address(endpoint.function) for endpoint in endpoints}
    expect_equal(len(set(addresses) - functions - {0}), len(ids), f"different wrappers among {addresses}")
    for at, id_ in enumerate(ids):
        called = c.run(Call(Function.wrapper(c.run(LookupId(0, id_)).wrapper)))
        expect_equal((called.seen_kind, called.seen_endpoint), (FunctionKind.ECHO, at), f"what id {id_:#x} leads to")


@check("R7", "an unknown id gives NULL")
def unknown_id(c: ConformanceDriver) -> None:
    """Also before any registration, and an id of another extension."""
    extension = Extension(c, 0)
    extension.expect_unknown((0, 1, NONE), "nothing was registered")
    extension.swap(1, range(2))
    Extension(c, 8, number=1)
    extension.expect_unknown((2, 3, 7, 0x80000001, NONE), "only 0 and 1 were registered here")


@check("R7", "a registered function leads to its wrapper, any other pointer to STATUS_NOT_FOUND")
def by_pointer(c: ConformanceDriver) -> None:
    """The pointer must be exact; a wrapper is no endpoint."""
    extension = Extension(c, 3)
    for id_ in range(3):
        expect_found(c, extension, Function.echo(1, id_), id_, "which was registered")
    address = c.address(Function.echo(1, 0))
    for pointer in (address - 1, address + 1, address ^ (1 << 32), extension.address(0), 0, (1 << 64) - 1):
        expect_found(c, extension, Function.raw(pointer), None, "which was not registered")
    for function in (Function.echo(1, 3), Function.echo(2, 0), Function.floats(1, 0)):
        expect_found(c, extension, function, None, "which was not registered")


@check("R7", "a pointer that is not found sets *Wrapper to NULL (our choice)", on=COMPAT)
def wrapper_null_when_not_found(c: ConformanceDriver) -> None:
    """One page says so, the other nothing."""
    Extension(c)
    reply = c.run(LookupPointer(0, Function.echo(2, 0)))
    expect_equal((reply.status, reply.address), (NOT_FOUND, 0), "status and *Wrapper")


@check("R7", "a NULL extension has no wrapper (our choice)", on=COMPAT)
def null_extension(c: ConformanceDriver) -> None:
    """Not even one that is free."""
    for registered in (False, True):
        if registered:
            Extension(c, 2)
        for id_ in (0, 1, NONE):
            expect_equal(c.run(LookupId(NONE, id_)).address, 0, f"the wrapper of id {id_} of no extension")
        for function in (Function.null(), Function.echo(1, 0)):
            reply = c.run(LookupPointer(NONE, function))
            expect_equal((reply.status, reply.address), (NOT_FOUND, 0), f"looking {function} up in no extension")


@check("R7", "every id has a wrapper until there is no more: then STATUS_INSUFFICIENT_RESOURCES", on=COMPAT)
@check("R10", "a registration for which there are not wrappers enough makes none", on=COMPAT)
def as_many_as_there_are(c: ConformanceDriver) -> None:
    """What was there before is as it was; once the extension is deleted the room is there again, to the last one."""
    extension = Extension(c, 1)
    before, room = held(c), 0
    for block in (256, 64, 16, 4, 1):
        while c.run(Register(0, [Endpoint(1 + room, Function.echo(1, 1))], fill=block)).status == SUCCESS:
            room += block
            expect(room < _MOST_WRAPPERS, f"there is no end to wrappers after {room}")
    expect(room >= _FEWEST_WRAPPERS, f"there are {room} wrappers only")
    expect_equal(c.counters().wrappers, 1 + room, "wrappers in use")
    addresses = [address for at in range(0, 256, 16) for address in extension.addresses(range(at, at + 16))]
    expect_equal(len(set(addresses) - {0}), 256, "different wrappers of the first 256 ids")
    expect_status(extension.delete(), SUCCESS, "deleting the extension")

    extension = Extension(c, 1)
    array = [Endpoint(1, Function.echo(1, 1))]
    reply = c.run(Register(0, array, Callback(), fill=room + 1))
    expect_status(reply.status, INSUFFICIENT_RESOURCES, f"registering {room + 1} ids where {room} have room")
    expect_phases(reply, (), "the refused registration")
    expect_held(c, before, "after the refusal")
    extension.expect_unknown((1, 2, room, room + 1), "there was no room for all")
    extension.expect_version(1, why="after the refusal")
    expect_status(c.run(Register(0, array, fill=room)).status, SUCCESS, f"registering {room} ids")


# R8


@check("R8", "a replaced id keeps its wrapper, and the next call reaches the new function")
def replaced(c: ConformanceDriver) -> None:
    """Forwards, backwards, and to the same version; the wrapper that was looked up first serves all along."""
    extension = Extension(c, 16)
    addresses = extension.addresses(range(16))
    extension.expect_version(1, range(16), "after the first registration")
    for version in (2, 3, 4, 1, 1, 2):
        extension.swap(version, range(16))
        expect_equal(extension.addresses(range(16)), addresses, f"wrappers in version {version}")
        extension.expect_version(version, range(16), f"after version {version} was registered")


@check("R8", "a function of any kind can be replaced, routines and floating point included")
def replaced_kinds(c: ConformanceDriver) -> None:
    """One id of each."""
    extension = Extension(c, 0)
    kinds = {
        CallKind.ROUTINE: Function.routine,
        CallKind.INTEGERS: Function.echo,
        CallKind.FLOATS: Function.floats,
        CallKind.MIXED: Function.mixed,
    }
    for version in (1, 2):
        endpoints = [Endpoint(at, make(version, at), 6) for at, make in enumerate(kinds.values())]
        expect_status(extension.register(*endpoints).status, SUCCESS, f"registering version {version}")
        for at, (kind, make) in enumerate(kinds.items()):
            called = c.run(Call(extension.wrapper(at), kind=kind))
            seen = Function(called.seen_kind, called.seen_version, called.seen_endpoint)
            expect_equal(seen, make(version, at), "what the call reached")


# R11


@check("R11", "ids can be added, and those not named keep their function")
def ids_not_named(c: ConformanceDriver) -> None:
    """Added alone, and replaced one by one."""
    extension = Extension(c, 2)
    extension.swap(2, (2, 3))
    extension.expect_versions({0: 1, 1: 1, 2: 2, 3: 2}, "after two were added")
    extension.swap(3, (1,))
    extension.expect_versions({0: 1, 1: 3, 2: 2, 3: 2}, "after one was replaced")


@check("R11", "one array may replace ids and add others (our choice)", on=COMPAT)
def replaced_and_added(c: ConformanceDriver) -> None:
    """In any order; also with a callback, and while a call is inside what is replaced."""
    extension = Extension(c, 3)
    known = extension.addresses((0, 1, 2))
    extension.swap(2, (4, 1, 3, 0))
    extension.expect_versions({0: 2, 1: 2, 2: 1, 3: 2, 4: 2}, "after a mixed registration")
    expect_equal(extension.addresses((0, 1, 2)), known, "wrappers that were there before")
    c.run(Behave(2, 1, gate_after=0))
    inside = extension.begin_inside(1, version=2, lane=2)
    swap = extension.begin_swap(3, (5, 1), Callback())
    c.open_gate(0)
    expect_phases(swap.result(), (0, 1, 2), "the mixed registration")
    inside.result()
    extension.expect_versions({0: 2, 1: 3, 2: 1, 3: 2, 4: 2, 5: 3}, "after the second mixed registration")


@check("R11", "a new id is found only when its registration has succeeded (our choice)", on=COMPAT, each=(0, 1, 2))
def found_in_the_end(c: ConformanceDriver, phase: int) -> None:
    """In no phase, so that a rollback takes nothing from anybody."""
    extension = Extension(c, 1)
    look = c.prepare(LookupAll(0, ids=(0, 1), functions=[Function.echo(2, 1)]))
    extension.swap(2, range(2), in_phase(phase, Phase(prepared=look.number)))
    found = c.prepared(look)[1]
    expect(found is not None, "the lookup in the callback was not made")
    if found is not None:
        expect(found.by_id[0].address != 0, "the id that was there is not found in the callback")
        expect_equal(found.by_id[1].address, 0, "the new id's wrapper in the callback")
        expect_status(found.by_pointer[0].status, NOT_FOUND, "the new function in the callback")
    extension.expect_version(2, range(2))


# R15


@check("R15", "a direct call of the old function stays one, and is neither held nor counted")
def direct_call(c: ConformanceDriver) -> None:
    """After the swap, and while calls are stalled."""
    extension = Extension(c)
    swap = extension.begin_stalled(2, gate=0)
    direct = c.run(Call(Function.echo(1, 0)))
    expect_equal((direct.seen_version, direct.seen_calls), (1, 1), "what a direct call reached during the stall")
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the swap")
    expect_equal(c.run(Call(Function.echo(1, 0))).seen_version, 1, "what a direct call reached after the swap")
    extension.expect_version(2)


@check("R15", "a swap does not wait for a direct call of the function that it replaces")
def direct_call_inside(c: ConformanceDriver) -> None:
    """It is inside the function, but in no wrapper."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    direct = c.begin(Call(Function.echo(1, 0)), lane=2)
    c.wait(Condition.endpoint_inside(1, 0, 1))
    extension.swap(2)
    expect(not direct.done, "the direct call ended before its gate opened")
    extension.expect_version(2, why="while a direct call is inside the old function")
    c.open_gate(0)
    expect_equal(direct.result().seen_version, 1, "what the direct call reached")
