"""Checks of an extension whose owner's image lists endpoints: creation, lookup, calls, workers (V2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal, wait_until
from hotswap.conformance.objects import CallKind, Endpoint, Function, helper_driver
from hotswap.conformance.requests import (
    Call,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    InitEvent,
    JoinWorker,
    LoadHelper,
    LookupId,
    LookupPointer,
    QueryHelper,
    Register,
    ReleaseWorker,
    SetEvent,
    UnloadHelper,
)
from hotswap.conformance.swap_rig import (
    COMPAT,
    INSUFFICIENT_RESOURCES,
    NOT_FOUND,
    NOT_SUPPORTED,
    RESOURCE_IN_USE,
    SUCCESS,
    Extension,
    expect_found,
    expect_held,
    expect_status,
    held,
)
from hotswap.conformance.v2_rig import (
    INVALID_IMAGE_FORMAT,
    LISTED,
    TIMES,
    ImageExtension,
    call,
    call_floats,
    doubles,
    leave_wrappers,
    load,
    result,
    weighed,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_PLAIN = "conformance_owner"
"""A helper whose image lists no endpoint."""
_LARGE = [0xA1B2_C3D4_E5F6_0708 + 0x0101_0101_0101_0101 * place for place in range(12)]
_JOIN_MS = 8_000


@check("R5", "every endpoint of the owner's image has its wrapper right after the creation", on=COMPAT)
@check("S1", "every endpoint listed has a wrapper of its own, which is not its own address", on=COMPAT)
def wrappers_from_the_start(c: ConformanceDriver) -> None:
    """No call in between; as many as are listed."""
    before = c.counters().wrappers
    extension = ImageExtension(c)
    found = extension.wrappers(extension.image)
    expect_equal(len(set(found)), len(LISTED), "different wrappers")
    own = [extension.image.address(endpoint) for endpoint in LISTED]
    expect(not set(found) & set(own), "a wrapper is the endpoint itself")
    expect_equal(c.counters().wrappers - before, len(LISTED), "wrappers made")


@check("R5", "the extension of an image without a table has no endpoint until one is registered", on=COMPAT)
def no_table(c: ConformanceDriver) -> None:
    """It is V1: ids and registration work."""
    before = c.counters().wrappers
    expect_status(c.run(LoadHelper(0, _PLAIN)).status, SUCCESS, f"loading {_PLAIN}")
    extension = Extension(c, 0, driver=helper_driver(0))
    expect_equal(c.counters().wrappers, before, "wrappers of an image without a table")
    extension.swap(1)
    extension.expect_version(1)


@check("R4", "wrappers of an image go with their owner, and are made anew when it is loaded again", on=COMPAT)
def image_goes(c: ConformanceDriver) -> None:
    """Nothing is held in between."""
    before = held(c)
    for round_ in range(3):
        extension = ImageExtension(c)
        expect_equal(call(c, extension.wrapper("HelperSum"), _LARGE), (1, weighed(_LARGE)), f"a call in round {round_}")
        expect_status(c.run(UnloadHelper(0)).status, SUCCESS, f"unloading the owner in round {round_}")
        expect_held(c, before, f"after the unload in round {round_}")


@check("R2", "a second extension of an image with endpoints is refused, and the wrappers stay", on=COMPAT)
def image_second_extension(c: ConformanceDriver) -> None:
    """Often enough that the pool of wrappers would be used up, if those of the second were kept."""
    extension = ImageExtension(c)
    wrappers, before = extension.wrappers(extension.image), held(c)
    for _ in range(TIMES):
        reply = c.run(CreateExtension(1, helper_driver(0)))
        expect_status(reply.status, RESOURCE_IN_USE, "the second extension")
    expect_held(c, before, "after all were refused")
    expect_equal(extension.wrappers(extension.image), wrappers, "wrappers of the first")


@check("S1", "deleting the extension gives its wrappers and memory back, and it can be made again", on=COMPAT)
def deleted(c: ConformanceDriver) -> None:
    """Often enough that the pool of wrappers would be used up."""
    load(c, "first")
    before = held(c)
    for _ in range(TIMES):
        expect_status(c.run(CreateExtension(0, helper_driver(0))).status, SUCCESS, "creating it")
        expect_status(c.run(DeleteExtension(0)).status, SUCCESS, "deleting it")
    expect_held(c, before, "after all were deleted")


@check("S2", "no id finds an endpoint of an image", on=COMPAT)
def by_id(c: ConformanceDriver) -> None:
    """Neither their numbers in the table nor others."""
    ImageExtension(c)
    for id_ in (*range(len(LISTED) + 1), 0xFFFFFFFF):
        expect_equal(c.run(LookupId(0, id_)).address, 0, f"the wrapper of id {id_}")


@check("S3", "registering endpoints is refused, for new ids as for known functions", on=COMPAT)
def registration(c: ConformanceDriver) -> None:
    """Nothing is found afterwards that was not before."""
    extension = ImageExtension(c)
    before, wrappers = held(c), extension.wrappers(extension.image)
    for function in (Function.echo(1), extension.image.function("HelperSum")):
        reply = c.run(Register(0, [Endpoint(7, function, 2)]))
        expect_status(reply.status, NOT_SUPPORTED, f"registering {function}")
    expect_held(c, before, "after the registrations were refused")
    expect_status(c.run(LookupPointer(0, Function.echo(1))).status, NOT_FOUND, "the function that was not registered")
    expect_equal(extension.wrappers(extension.image), wrappers, "wrappers of the image")


@check("S4", "a pointer beside an endpoint, into other code or to a wrapper finds none", on=COMPAT)
def exact_pointer(c: ConformanceDriver) -> None:
    """The recorded pointer, exactly."""
    extension = ImageExtension(c)
    image = extension.image
    beside = [image.function(endpoint, offset=offset) for endpoint in LISTED for offset in (-1, 1)]
    other = [Function.echo(1), Function.raw(image.start), extension.wrapper("HelperSum"), Function.raw(0)]
    for function in (*beside, *other):
        reply = c.run(LookupPointer(0, function))
        expect_status(reply.status, NOT_FOUND, f"looking up {function}")
        expect_equal(reply.address, 0, f"the wrapper of {function}")


@check("S5", "a pointer that was registered and one that is listed find their wrappers alike", on=COMPAT)
def both_sources(c: ConformanceDriver) -> None:
    """Each in its own extension, and not in the other's."""
    listed = ImageExtension(c)
    registered = Extension(c, 2, number=1)
    expect_found(c, registered, Function.echo(1, 1), 1, "which was registered")
    reply = c.run(LookupPointer(1, listed.image.function("HelperSum")))
    expect_status(reply.status, NOT_FOUND, "a listed function in the extension of registered ones")
    expect_status(c.run(LookupPointer(0, Function.echo(1, 1))).status, NOT_FOUND, "a registered function in V2")
    expect(listed.found(listed.image, "HelperSum") != registered.address(1), "both have one wrapper")


@check("S6", "an image whose table lies outside of it gets no extension, and nothing is left", on=COMPAT)
def table_outside(c: ConformanceDriver) -> None:
    """The driver object says that the image has one page, and the sections are behind that."""
    image = load(c, "cut")
    info = c.run(QueryHelper(0))
    expect_equal((info.driver_start, info.driver_size), (image.start, 0x1000), "image of the driver object")
    before = held(c)
    reply = c.run(CreateExtension(0, helper_driver(0)))
    expect_status(reply.status, INVALID_IMAGE_FORMAT, "an extension of a table outside of its image")
    expect_equal(reply.pointer, 0, "*DriverProxyExtension")
    expect_held(c, before, "after it was refused")


@check("S1", "the driver object tells where the image is, and the table's addresses are relative to that", on=COMPAT)
def image_base(c: ConformanceDriver) -> None:
    """A direct call of the endpoint at that address does what the endpoint does."""
    image = load(c, "first")
    expect(
        image.start % 0x1000 == 0 and image.size > 0x1000, f"the image is at {image.start:#x}, {image.size:#x} bytes"
    )
    expect_equal(call(c, image.function("HelperSum"), _LARGE), (1, weighed(_LARGE)), "a direct call")


@check("R33", "V2: four registers and eight arguments on the stack arrive, as does the result", on=COMPAT)
def image_arguments(c: ConformanceDriver) -> None:
    """Each has a weight of its own, so none may be lost, or change places."""
    sum_ = ImageExtension(c).wrapper("HelperSum")
    for arguments in (_LARGE, _LARGE[::-1], *([0] * at + [1] + [0] * (11 - at) for at in range(12))):
        expect_equal(call(c, sum_, arguments), (1, weighed(arguments)), f"the sum of {arguments}")


@check("R33", "V2: doubles in registers and on the stack arrive, and a double comes back", on=COMPAT)
def image_floats(c: ConformanceDriver) -> None:
    """XMM0 to XMM3, two on the stack, XMM0."""
    floats_ = ImageExtension(c).wrapper("HelperFloats")
    for values in ([1.5, -2.25, 3.125, 1e10, -7.75, 0.0625], [0.0] * 5 + [1.0], [1.0] + [0.0] * 5):
        wanted = 1000.0 + sum(place * value for place, value in enumerate(values, 1))
        expect_equal(call_floats(c, floats_, values), wanted, f"the sum of {values}")


@check("R33", "V2: integers and doubles mixed arrive, each in its own kind of register", on=COMPAT)
def image_mixed(c: ConformanceDriver) -> None:
    """RCX, XMM1, R8, XMM3, and one of each on the stack."""
    wrapper = ImageExtension(c).wrapper("HelperMixed")
    integers, real = [11, 0, 0xABCDEF, 0, 0, 1 << 40], doubles([0, 22, 0, 1234567, 5, 0])
    arguments = [integers[at] or real[at] for at in range(6)]
    wanted = weighed([11, 22, 0xABCDEF, 1234567, 5, 1 << 40])
    expect_equal(result(c.run(Call(wrapper, arguments, CallKind.MIXED))), (1, wanted), "the sum")


@check("R33", "V2: an endpoint without arguments and without result is called", on=COMPAT)
def image_nothing(c: ConformanceDriver) -> None:
    """As often as its wrapper is."""
    extension = ImageExtension(c)
    expect_equal(c.run(Call(extension.wrapper("HelperNothing"), repeat=5)).calls, 5, "calls")
    expect_equal(call(c, extension.wrapper("HelperCount")), (1, 5), "calls that the endpoint counted")


@check(
    "S12", "a worker thread runs a listed routine, once for each signal, and in the new image after a swap", on=COMPAT
)
def worker(c: ConformanceDriver) -> None:
    """The same thread; its second event ends it."""
    extension = ImageExtension(c)
    for event in (0, 1):
        c.run(InitEvent(event))
    created = c.run(CreateWorker(routine=extension.wrapper("HelperRoutine"), events=(0, 1)))
    expect_status(created.status, SUCCESS, "creating a worker with a listed routine")
    iterations = extension.wrapper("HelperIterations")
    for wanted in (1, 2, 3):
        _signal(c, iterations, (1, wanted))
    extension.swap(load(c, "again", 1))
    expect_equal(call(c, iterations), (6, 0), "iterations in the new image before a signal")
    for wanted in (1, 2):
        _signal(c, iterations, (6, wanted))
    c.run(SetEvent(1))
    expect_status(c.run(JoinWorker(0, _JOIN_MS)).status, SUCCESS, "waiting for the worker's end")
    expect_equal(call(c, iterations), (6, 3), "iterations in the new image in the end")
    expect_status(c.run(ReleaseWorker(0)).status, SUCCESS, "releasing the worker")


def _signal(c: ConformanceDriver, iterations: Function, wanted: tuple[int, int]) -> None:
    c.run(SetEvent(0))
    wait_until(lambda: call(c, iterations) == wanted, f"iteration {wanted[1]} in image {wanted[0]}")


@check("S13", "creating an extension of an image with endpoints: each allocation in turn fails", on=COMPAT)
def no_memory(c: ConformanceDriver) -> None:
    """No extension and nothing held, until none fails."""
    load(c, "first")
    before = held(c)
    for nth in range(1, 64):
        reply = c.run(CreateExtension(0, helper_driver(0), fail_allocation=nth))
        if reply.status == SUCCESS:
            expect(nth > 2, "the table was read without memory")
            return
        expect_status(reply.status, INSUFFICIENT_RESOURCES, f"the creation whose allocation {nth} failed")
        expect_equal(reply.pointer, 0, "*DriverProxyExtension")
        expect_held(c, before, f"after allocation {nth} failed")
    expect(False, "the creation never succeeded")


@check("S13", "an extension for whose endpoints there are not enough wrappers is refused, and none is kept", on=COMPAT)
def no_wrappers(c: ConformanceDriver) -> None:
    """Again and again, and then there are enough."""
    load(c, "first")
    full = leave_wrappers(c, len(LISTED) - 1)
    before = held(c)
    for _ in range(3):
        reply = c.run(CreateExtension(0, helper_driver(0)))
        expect_status(reply.status, INSUFFICIENT_RESOURCES, "an extension with one wrapper too few")
        expect_equal(reply.pointer, 0, "*DriverProxyExtension")
        expect_held(c, before, "after it was refused")
    expect_status(full.delete(), SUCCESS, "deleting what took the other wrappers")
    expect_status(c.run(CreateExtension(0, helper_driver(0))).status, SUCCESS, "the extension with enough wrappers")
