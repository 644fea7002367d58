"""What checks of V2 are made of: helper drivers whose images list endpoints, and an extension of one of them.

The images are driver/conformance/shsept; results of their endpoints begin with the version of the image: `first` 1,
`second` 2, `again` 6. `again` lists what `first` does, `second` the same in another order and HelperAdded besides.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pefile

from hotswap.conformance.check import expect, expect_equal
from hotswap.conformance.objects import Callback, CallKind, Endpoint, Function, helper_driver
from hotswap.conformance.replies import Called, Registered
from hotswap.conformance.requests import (
    Call,
    CreateExtension,
    LoadHelper,
    LookupPointer,
    Register,
    SetOptions,
    SwapImage,
)
from hotswap.conformance.swap_rig import NOT_FOUND, SUCCESS, Extension, expect_status
from hotswap.driver.endpoint_table import read_endpoint_table

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending

INVALID_IMAGE_FORMAT = 0xC000007B
REVISION_MISMATCH = 0xC0000059

VERSIONS: Mapping[str, int] = {"first": 1, "second": 2, "again": 6}
LISTED = (
    "HelperFloats",
    "HelperNothing",
    "HelperCount",
    "HelperSum",
    "HelperMixed",
    "HelperRoutine",
    "HelperIterations",
    "HelperHold",
    "HelperLetGo",
)
"""The endpoints of `first`, in its order."""
ADDED = "HelperAdded"
TIMES = 120
"""So many images of 9 endpoints have more than the compat runtime has wrappers."""

_SHIFT = 56
_MASK = (1 << _SHIFT) - 1


@cache
def _addresses(path: Path) -> Mapping[str, int]:
    """Endpoint name to rva, as the image itself says."""
    with pefile.PE(str(path), fast_load=True) as image:
        table = read_endpoint_table(image)
    assert table is not None
    assert not table.problems, table.problems
    return {endpoint.name: endpoint.rva for endpoint in table.endpoints}


@dataclass(frozen=True, slots=True)
class Image:
    """A helper driver that is loaded under this number."""

    number: int
    service: str
    file: Path
    start: int
    size: int

    def function(self, endpoint: str, *, offset: int = 0) -> Function:
        """The endpoint itself, not its wrapper; or a place near it."""
        return Function.helper(self.number, _addresses(self.file)[endpoint] + offset)

    def address(self, endpoint: str) -> int:
        """Where that is in the guest."""
        return self.start + _addresses(self.file)[endpoint]

    @property
    def names(self) -> Sequence[str]:
        """Its endpoints."""
        return tuple(_addresses(self.file))


def load(c: ConformanceDriver, name: str, number: int = 0) -> Image:
    """Load conformance_v2_NAME.sys."""
    service = f"conformance_v2_{name}"
    reply = c.run(LoadHelper(number, service))
    expect_status(reply.status, SUCCESS, f"loading {service}")
    return Image(number, service, c.files[service], reply.driver_start, reply.driver_size)


class ImageExtension:
    """The V2 extension of an image, its owner's."""

    def __init__(self, c: ConformanceDriver, name: str = "first", *, drain_timeout_ms: int = 0) -> None:
        self.c = c
        self.image = load(c, name)
        expect_status(c.run(CreateExtension(0, helper_driver(0))).status, SUCCESS, f"an extension of {name}")
        if drain_timeout_ms:
            set_options = SetOptions(0, drain_timeout_ms=drain_timeout_ms)
            expect_status(c.run(set_options).status, SUCCESS, "setting the drain limit")

    def found(self, image: Image, endpoint: str) -> int:
        """Address of the wrapper that an endpoint's pointer finds; CheckFailed unless it finds one."""
        reply = self.c.run(LookupPointer(0, image.function(endpoint)))
        expect_status(reply.status, SUCCESS, f"looking up {endpoint} of {image.service}")
        return reply.address

    def expect_none(self, image: Image, endpoints: Sequence[str], why: str) -> None:
        """CheckFailed when one of these pointers finds a wrapper."""
        for endpoint in endpoints:
            reply = self.c.run(LookupPointer(0, image.function(endpoint)))
            expect_status(reply.status, NOT_FOUND, f"looking up {endpoint} of {image.service}, {why}")
            expect_equal(reply.address, 0, f"the wrapper of {endpoint} of {image.service}, {why}")

    def wrappers(self, image: Image, endpoints: Sequence[str] = LISTED) -> list[int]:
        """Addresses of the wrappers that these find."""
        return [self.found(image, endpoint) for endpoint in endpoints]

    def wrapper(self, endpoint: str, image: Image | None = None) -> Function:
        """The wrapper, to be called."""
        reply = self.c.run(LookupPointer(0, (image or self.image).function(endpoint)))
        expect(reply.found, f"{endpoint} has no wrapper ({reply.status})")
        return Function.wrapper(reply.wrapper)

    def swap(self, image: Image, callback: Callback | None = None) -> Registered:
        """Swap to an image; CheckFailed unless that succeeds."""
        reply = self.try_swap(image, callback)
        expect_status(reply.status, SUCCESS, f"the swap to {image.service}")
        return reply

    def try_swap(self, image: Image, callback: Callback | None = None, *, fail_allocation: int = 0) -> Registered:
        """The same, whatever comes of it."""
        request = SwapImage(0, helper_driver(image.number), callback, fail_allocation=fail_allocation)
        return self.c.run(request)

    def begin_swap(self, image: Image, callback: Callback | None = None, *, lane: int = 1) -> Pending[Registered]:
        """Begin it on a thread of its own."""
        return self.c.begin(SwapImage(0, helper_driver(image.number), callback), lane=lane)


def leave_wrappers(c: ConformanceDriver, count: int) -> Extension:
    """Extension 1, whose ids take all wrappers but so many."""
    before = c.counters().wrappers
    full, ids = Extension(c, 0, number=1), 0
    for block in (512, 64, 8, 1):
        while c.run(Register(1, [Endpoint(ids, Function.echo(1))], fill=block)).status == SUCCESS:
            ids += block
    expect_equal(c.counters().wrappers, before + ids, "wrappers when there are no more")
    expect_status(full.delete(), SUCCESS, "deleting the extension that has them all")
    full = Extension(c, 0, number=1)
    reply = c.run(Register(1, [Endpoint(0, Function.echo(1))], fill=ids - count))
    expect_status(reply.status, SUCCESS, f"registering {ids - count} ids")
    return full


def call(c: ConformanceDriver, wrapper: Function, arguments: Sequence[int] = ()) -> tuple[int, int]:
    """Call a function of integers: (version of the image that ran, what it computed)."""
    value = c.run(Call(wrapper, arguments)).value
    return value >> _SHIFT, value & _MASK


def weighed(arguments: Sequence[int]) -> int:
    """What HelperSum and HelperMixed compute: each argument times its place, from 1."""
    return sum(place * argument for place, argument in enumerate(arguments, 1)) & _MASK


def doubles(values: Sequence[float]) -> list[int]:
    """Their bits."""
    return [struct.unpack("<Q", struct.pack("<d", value))[0] for value in values]


def call_floats(c: ConformanceDriver, wrapper: Function, values: Sequence[float]) -> float:
    """Call a function of doubles that returns one."""
    bits = c.run(Call(wrapper, doubles(values), CallKind.FLOATS)).value
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def result(called: Called) -> tuple[int, int]:
    """(version of the image that ran, what it computed) of a call that has ended."""
    return called.value >> _SHIFT, called.value & _MASK
