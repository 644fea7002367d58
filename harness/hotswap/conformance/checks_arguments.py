"""Checks of what a wrapper forwards and returns (R33)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect_equal
from hotswap.conformance.objects import CallKind, Condition, Endpoint, Function, Phase
from hotswap.conformance.requests import Behave, Call, Register
from hotswap.conformance.swap_calls import succeeded
from hotswap.conformance.swap_rig import SUCCESS, Extension, expect_status, in_phase, ran_in

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_ALL = (1 << 64) - 1
_ARGUMENTS = tuple((0x9E37_79B9_7F4A_7C15 * (at + 1)) & _ALL for at in range(32))
_EXTREMES = (0, 1, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, _ALL, 0xFFFF_FFFF, 0xFFFF_FFFF_0000_0000)
_DOUBLES = (1.5, -0.0, 3.141592653589793, 1e308, 5e-324, float("-inf"))
_NAN = 0x7FF4_0000_DEAD_BEEF
"""A signalling NaN with a payload: whoever converts it changes it."""


def bits(number: float) -> int:
    """The bits of a double."""
    return int(struct.unpack("<Q", struct.pack("<d", number))[0])


def registered(c: ConformanceDriver, function: Function, parameters: int) -> Extension:
    """An extension whose id 0 leads to this function."""
    extension = Extension(c, 0)
    expect_status(extension.register(Endpoint(0, function, parameters)).status, SUCCESS, "registering")
    return extension


@check("R33", "arguments arrive unchanged, for every parameter count from 0 to 32")
def arguments(c: ConformanceDriver) -> None:
    """In registers and on the stack; the caller passes 32 different ones each time."""
    extension = Extension(c, 0)
    for first in (0, 16, 32):
        counts = range(first, min(first + 16, 33))
        endpoints = [Endpoint(count, Function.echo(1, count % 16), count) for count in counts]
        expect_status(extension.register(*endpoints).status, SUCCESS, f"registering {counts}")
        for count in counts:
            called = extension.call(count, _ARGUMENTS)
            expect_equal(called.seen[:count], _ARGUMENTS[:count], f"the first {count} arguments of {count} parameters")
            ran_in(called, 1, f"a call with {count} parameters")


@check("R33", "every bit of an argument arrives")
def extreme_arguments(c: ConformanceDriver) -> None:
    """Zeros, ones, signs, halves; in each place."""
    extension = Extension(c, parameters=8)
    for turn in range(len(_EXTREMES)):
        given = tuple(_EXTREMES[(at + turn) % len(_EXTREMES)] for at in range(8))
        expect_equal(extension.call(0, given).seen[:8], given, "arguments")


@check("R33", "the result is the endpoint's, all 64 bits of it")
def result(c: ConformanceDriver) -> None:
    """Of a function of integers and of a routine, whose upper bits a wrapper has no right to clear."""
    extension = Extension(c, 0)
    endpoints = (Endpoint(0, Function.echo(1, 0), 4), Endpoint(1, Function.routine(1, 1), 2))
    expect_status(extension.register(*endpoints).status, SUCCESS, "registering")
    for value in (*_EXTREMES, 0xDEAD_BEEF_0000_0001, 0xFFFF_FFFF_FFFF_FF00):
        c.run(Behave(return_value=value))
        for id_, kind in enumerate((CallKind.INTEGERS, CallKind.ROUTINE)):
            called = c.run(Call(extension.wrapper(id_), kind=kind))
            expect_equal(called.value, value, f"the result of id {id_}")


@check("R33", "doubles arrive and return unchanged")
def doubles(c: ConformanceDriver) -> None:
    """Four in registers, two on the stack; -0.0, an infinity, a signalling NaN and all."""
    extension = registered(c, Function.floats(1, 0), 6)
    plain = tuple(bits(number) for number in _DOUBLES)
    for given in (plain, plain[::-1], (_NAN,) * 6):
        direct = c.run(Call(Function.floats(1, 0), given, CallKind.FLOATS))
        called = c.run(Call(extension.wrapper(), given, CallKind.FLOATS))
        expect_equal(called.seen[:6], given, "the bits of the arguments")
        expect_equal(called.value, direct.value, "the result, against a direct call")


@check("R33", "integers and doubles mixed arrive, each in its own register")
def mixed(c: ConformanceDriver) -> None:
    """The third is an integer in R8 between two doubles; the sixth is on the stack."""
    extension = registered(c, Function.mixed(1, 0), 6)
    given = (_ALL, bits(-1.25), 0x1234_5678_9ABC_DEF0, bits(1e-300), bits(2.5), 1 << 63)
    direct = c.run(Call(Function.mixed(1, 0), given, CallKind.MIXED))
    called = c.run(Call(extension.wrapper(), given, CallKind.MIXED))
    expect_equal(called.seen[:6], given, "the arguments")
    expect_equal(called.value, direct.value, "the result, against a direct call")


@check("R33", "a call that is held has the same arguments and result afterwards", each=("integers", "floats", "mixed"))
def held_arguments(c: ConformanceDriver, name: str) -> None:
    """Registers and stack are kept while it waits."""
    kind = CallKind[name.upper()]
    make = {CallKind.INTEGERS: Function.echo, CallKind.FLOATS: Function.floats, CallKind.MIXED: Function.mixed}[kind]
    count = 32 if kind is CallKind.INTEGERS else 6
    given = _ARGUMENTS[:count] if kind is not CallKind.FLOATS else tuple(bits(number) for number in _DOUBLES)
    extension = registered(c, make(1, 0), count)
    c.run(Behave(2, 0, return_value=0xFEED_FACE_CAFE_BEEF))
    wrapper = extension.wrapper()
    stays = in_phase(1, Phase(gate=0))
    swap = c.begin(Register(0, [Endpoint(0, make(2, 0), count)], stays), lane=1)
    c.wait(Condition.at_gate(0))
    pending = c.begin(Call(wrapper, given, kind), lane=2)
    c.wait(Condition.held(1))
    c.open_gate(0)
    succeeded(swap, "the swap")
    called = pending.result()
    ran_in(called, 2, "the call that was held")
    expect_equal(called.seen[:count], given, "arguments of the call that was held")
    expect_equal(called.value, c.run(Call(make(2, 0), given, kind)).value, "its result, against a direct call")
