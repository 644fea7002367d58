"""Checks of registrations that are refused, and of the array handed in (R9, R10, R13, R14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import NONE, Callback, Endpoint, Function, Phase
from hotswap.conformance.requests import Register
from hotswap.conformance.swap_calls import begin_counted, end_repeated, nest
from hotswap.conformance.swap_rig import (
    COMPAT,
    INSUFFICIENT_RESOURCES,
    INVALID_PARAMETER_1,
    INVALID_PARAMETER_2,
    INVALID_PARAMETER_3,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    Steps,
    expect_held,
    expect_phases,
    expect_status,
    held,
    in_phase,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_PARAMETERS = 2
_MANY = 200
_KNOWN, _NEW = range(4), range(4, 8)
BAD: Mapping[str, Endpoint] = {
    "other-count": Endpoint(0, Function.echo(2, 0), _PARAMETERS + 1),
    "null-function": Endpoint(0, Function.null(), _PARAMETERS),
    "null-new-function": Endpoint(8, Function.null(), _PARAMETERS),
    "too-many-parameters": Endpoint(8, Function.echo(2, 8), 33),
    "twice": Endpoint(1, Function.echo(3, 1), _PARAMETERS),
    "new-twice": Endpoint(4, Function.echo(3, 4), _PARAMETERS),
}
"""Elements that a runtime has to refuse beside ids 1 to 3, which are replaced, and 4 to 7, which are new."""
_STATUS = dict.fromkeys(BAD, INVALID_PARAMETER_2) | {"other-count": INVALID_PARAMETER_3}


def expect_unchanged(c: ConformanceDriver, extension: Extension, before: tuple[int, ...], why: str) -> None:
    """CheckFailed unless the known ids lead to version 1, the others nowhere, and no more is held than before."""
    extension.expect_version(1, _KNOWN, why)
    extension.expect_unknown((*_NEW, 8), why)
    expect_held(c, before, why)


# R9


@check("R9", "an id with another parameter count is STATUS_INVALID_PARAMETER_3", each=(0, 1, 3, 4, 5, 32))
def another_count(c: ConformanceDriver, count: int) -> None:
    """No phase is called, the old function stays, and the right count is taken afterwards."""
    extension = Extension(c)
    reply = extension.register(Endpoint(0, Function.echo(2, 0), count), callback=Callback())
    expect_status(reply.status, INVALID_PARAMETER_3, f"registering an id of {_PARAMETERS} parameters with {count}")
    expect_phases(reply, (), "the refused registration")
    extension.expect_version(1, why="after the refusal")
    extension.swap(2)
    extension.expect_version(2)


@check("R9", "nor are the other elements registered, wherever the bad one stands", each=(0, 1, 3, 6))
def another_count_among_others(c: ConformanceDriver, at: int) -> None:
    """Three that replace and four that are new."""
    extension = Extension(c, len(_KNOWN))
    before = held(c)
    array = extension.endpoints(2, (1, 2, 3, *_NEW))
    array.insert(at, BAD["other-count"])
    reply = extension.register(*array, callback=Callback())
    expect_status(reply.status, INVALID_PARAMETER_3, f"registering with a bad element at {at}")
    expect_phases(reply, (), "the refused registration")
    expect_unchanged(c, extension, before, "after the refusal")


@check("R9", "the count that counts is that of the first registration, also after replacements")
def count_of_the_first(c: ConformanceDriver) -> None:
    """A replacement cannot change it step by step."""
    extension = Extension(c, parameters=6)
    for version in (2, 3):
        extension.swap(version)
    reply = extension.register(Endpoint(0, Function.echo(4, 0), 5))
    expect_status(reply.status, INVALID_PARAMETER_3, "registering with 5 parameters instead of 6")
    extension.expect_version(3, why="after the refusal")


# R10


@check("R10", "one bad element and none is registered, whatever is bad about it", on=COMPAT, each=tuple(BAD))
def one_bad_element(c: ConformanceDriver, bad: str) -> None:
    """First, in the middle, last."""
    extension = Extension(c, len(_KNOWN))
    before = held(c)
    good = extension.endpoints(2, (1, 2, 3, *_NEW))
    for at in (0, 4, len(good)):
        reply = extension.register(*good[:at], BAD[bad], *good[at:], callback=Callback())
        expect_status(reply.status, _STATUS[bad], f"registering with the element {bad} at {at}")
        expect_phases(reply, (), "the refused registration")
        expect_unchanged(c, extension, before, f"after {bad} at {at} was refused")
    expect_status(extension.register(*good).status, SUCCESS, "registering the good ones alone")
    extension.expect_versions({0: 1} | dict.fromkeys((1, 2, 3, *_NEW), 2), "after they were registered alone")


@check("R10", "no call sees one endpoint of a swap replaced and another not", on=COMPAT)
def no_call_sees_half(c: ConformanceDriver) -> None:
    """A call nested in another reaches the version of the outer one, while swaps go on."""
    extension = Extension(c, 2, traced=True)
    told = Steps(c)
    pending = begin_counted(c, extension, (2, 3), (0, 1))
    nest(c, extension, 0, 1)
    for at in range(12):
        extension.swap((at + 1) % 4 + 1, range(2))
    end_repeated(c, pending)
    events = told.events()
    outer: dict[int, int] = {}
    nested = 0
    for event in events:
        actor, endpoint, version = (event.fields.get(name, -1) for name in ("Actor", "Endpoint", "Version"))
        if event.name == "CallEnter" and endpoint == 0:
            outer[actor] = version
        elif event.name == "CallEnter" and actor in outer:
            nested += 1
            expect_equal(version, outer.pop(actor), "version of a nested call, and of the one that it is nested in")
    expect(nested > 12, f"only {nested} nested calls were made beside 12 swaps")


@check("R10", "registrations that a phase refuses use up no wrapper", on=COMPAT, each=(0, 1, 2))
def refusals_use_up_nothing(c: ConformanceDriver, phase: int) -> None:
    """More new ids than there are wrappers, sixteen times over."""
    Extension(c, 1)
    array = [Endpoint(1, Function.echo(1, 1))]
    for _ in range(16):
        refusal = in_phase(phase, Phase(UNSUCCESSFUL))
        reply = c.run(Register(0, array, refusal, fill=_MANY))
        expect_status(reply.status, UNSUCCESSFUL, f"registering {_MANY} ids in vain")
    expect_status(c.run(Register(0, array, fill=_MANY)).status, SUCCESS, f"registering {_MANY} ids after that")


# R13


@check("R13", "the array can be overwritten after the call, and nothing behind it is written", each=(1, 5, 32))
def array_is_the_callers_again(c: ConformanceDriver, count: int) -> None:
    """The driver overwrites it at once; the array ends where its memory ends."""
    extension = Extension(c, 0)
    for version in (1, 2):
        reply = c.run(Register(0, extension.endpoints(version, range(count))))
        expect_status(reply.status, SUCCESS, f"registering {count} ids")
        expect_equal(reply.guard_written, 0, "bytes behind the array that were written to")
        extension.expect_version(version, range(count), "after the array was overwritten")


# R14


@check("R14", "an id twice in one array is STATUS_INVALID_PARAMETER_2 (our choice)", on=COMPAT)
def id_twice(c: ConformanceDriver) -> None:
    """Also with the same function, known or new."""
    extension = Extension(c, 1)
    for id_ in (0, 1):
        for first, second in ((2, 2), (2, 3)):
            pair = (Endpoint(id_, Function.echo(first, 0)), Endpoint(id_, Function.echo(second, 0)))
            reply = extension.register(*pair)
            expect_status(reply.status, INVALID_PARAMETER_2, f"registering id {id_} twice")
    extension.expect_version(1, why="after the refusals")
    extension.expect_unknown((1,), "its registration was refused")


@check("R14", "a count of 0 is STATUS_INVALID_PARAMETER_3, and no phase is called (our choice)", on=COMPAT)
def count_of_zero(c: ConformanceDriver) -> None:
    """Whatever the array holds."""
    extension = Extension(c, 1)
    reply = c.run(Register(0, extension.endpoints(2, (0,)), Callback(), count=0))
    expect_status(reply.status, INVALID_PARAMETER_3, "registering no element")
    expect_phases(reply, (), "the refused registration")
    extension.expect_version(1, why="after the refusal")


@check("R14", "a NULL array is STATUS_INVALID_PARAMETER_2 (our choice)", on=COMPAT, each=(1, 2, 256))
def null_array(c: ConformanceDriver, count: int) -> None:
    """With any count."""
    extension = Extension(c, 1)
    reply = c.run(Register(0, [], Callback(), count=count, null_array=True))
    expect_status(reply.status, INVALID_PARAMETER_2, f"registering a NULL array of {count}")
    expect_phases(reply, (), "the refused registration")
    extension.expect_version(1, why="after the refusal")


@check("R14", "a NULL function is refused: STATUS_INVALID_PARAMETER_2 (our choice)", on=COMPAT)
def null_function(c: ConformanceDriver) -> None:
    """For a known id and a new one."""
    extension = Extension(c, 1)
    for id_ in (0, 1):
        reply = extension.register(Endpoint(id_, Function.null()))
        expect_status(reply.status, INVALID_PARAMETER_2, f"registering NULL for id {id_}")
    extension.expect_version(1, why="after the refusals")
    extension.expect_unknown((1,), "its registration was refused")


@check("R14", "id 0 is an id like any other (our choice)", on=COMPAT)
def id_zero(c: ConformanceDriver) -> None:
    """Registered, found, replaced."""
    extension = Extension(c, 0)
    expect_status(extension.register(Endpoint(0, Function.echo(1, 0))).status, SUCCESS, "registering id 0")
    extension.expect_version(1, why="after its registration")
    extension.swap(2)
    extension.expect_version(2)


@check("R14", "more than 32 parameters are STATUS_INVALID_PARAMETER_2 (our choice)", on=COMPAT)
def parameters_without_number(c: ConformanceDriver) -> None:
    """The stack of a call has an end."""
    extension = Extension(c, 0)
    for count in (33, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        reply = extension.register(Endpoint(0, Function.echo(1, 0), count))
        expect_status(reply.status, INVALID_PARAMETER_2, f"registering {count} parameters")
    extension.expect_unknown((0,), "its registrations were refused")
    expect_status(extension.register(Endpoint(0, Function.echo(1, 0), 32)).status, SUCCESS, "registering 32")


@check("R14", "a count beyond all wrappers is STATUS_INSUFFICIENT_RESOURCES, unread (our choice)", on=COMPAT)
def count_without_end(c: ConformanceDriver) -> None:
    """The array ends long before."""
    extension = Extension(c, 1)
    before = held(c)
    for count in (0x10000, 0x7FFFFFFF, 0xFFFFFFFF):
        reply = c.run(Register(0, extension.endpoints(2, (0, 1)), Callback(), count=count))
        expect_status(reply.status, INSUFFICIENT_RESOURCES, f"registering {count} elements")
        expect_phases(reply, (), "the refused registration")
    expect_held(c, before, "after the refusals")
    extension.expect_version(1, why="after the refusals")


@check("R14", "a NULL extension is STATUS_INVALID_PARAMETER_1 (our choice)", on=COMPAT)
def null_extension(c: ConformanceDriver) -> None:
    """Nothing is called."""
    reply = c.run(Register(NONE, [Endpoint(0, Function.echo(1, 0))], Callback()))
    expect_status(reply.status, INVALID_PARAMETER_1, "registering with a NULL extension")
    expect_phases(reply, (), "the refused registration")
