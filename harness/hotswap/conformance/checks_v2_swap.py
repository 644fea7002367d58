"""Checks of the swap of one image for another (V2): matching, refusals, phases, drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import NO_DRIVER, NONE, OWN_DRIVER, Condition, Phase, helper_driver
from hotswap.conformance.requests import Call, LoadHelper, SwapImage, UnloadHelper
from hotswap.conformance.swap_rig import (
    COMPAT,
    INSUFFICIENT_RESOURCES,
    INVALID_PARAMETER_1,
    INVALID_PARAMETER_2,
    NOT_FOUND,
    NOT_SUPPORTED,
    POSSIBLE_DEADLOCK,
    PROCEDURE_NOT_FOUND,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    expect_held,
    expect_phases,
    expect_status,
    held,
    in_phase,
)
from hotswap.conformance.v2_rig import (
    ADDED,
    INVALID_IMAGE_FORMAT,
    LISTED,
    REVISION_MISMATCH,
    VERSIONS,
    Image,
    ImageExtension,
    call,
    call_floats,
    leave_wrappers,
    load,
    result,
    weighed,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_ARGUMENTS = [3 * place + 1 for place in range(12)]
_CALLERS = 3
_SWAPS = 20


def expect_image(c: ConformanceDriver, extension: ImageExtension, image: Image, version: int, why: str) -> None:
    """CheckFailed unless calls reach this image, and its pointers find the wrappers."""
    sum_ = extension.wrapper("HelperSum", image)
    expect_equal(call(c, sum_, _ARGUMENTS), (version, weighed(_ARGUMENTS)), f"what a call reached, {why}")
    floats = call_floats(c, extension.wrapper("HelperFloats", image), [0.5] * 6)
    expect_equal(floats, 1000.0 * version + 10.5, f"what a call of doubles reached, {why}")


@check("S7", "a swap to an image that lists the same endpoints in another order keeps every wrapper", on=COMPAT)
@check("R16", "V2: after a swap the new image's pointers find the wrappers and the old one's do not", on=COMPAT)
def other_order(c: ConformanceDriver) -> None:
    """Each name leads to the wrapper that it had."""
    extension = ImageExtension(c)
    wrappers = extension.wrappers(extension.image)
    second = load(c, "second", 1)
    extension.swap(second)
    expect_equal(extension.wrappers(second), wrappers, "wrappers, by name")
    extension.expect_none(extension.image, LISTED, "which is not in force")
    expect_image(c, extension, second, 2, "after the swap")


@check("S7", "images can be swapped to and fro, also back to the owner's", on=COMPAT)
def to_and_fro(c: ConformanceDriver) -> None:
    """And to the one that is in force."""
    extension = ImageExtension(c)
    wrappers, first, again = extension.wrappers(extension.image), extension.image, load(c, "again", 1)
    before = held(c)
    for image, version in ((again, 6), (first, 1), (first, 1), (again, 6), (again, 6), (first, 1)):
        extension.swap(image)
        expect_equal(extension.wrappers(image), wrappers, f"wrappers after the swap to {image.service}")
        expect_image(c, extension, image, version, f"after the swap to {image.service}")
    expect_held(c, before, "after all swaps")


@check("S7", "an image that was swapped out can be unloaded, and loaded and swapped in again", on=COMPAT)
def unloaded(c: ConformanceDriver) -> None:
    """Its names are known without it."""
    extension = ImageExtension(c)
    for round_ in range(3):
        again = load(c, "again", 1)
        extension.swap(again)
        expect_image(c, extension, again, 6, f"in round {round_}")
        extension.swap(extension.image)
        expect_status(c.run(UnloadHelper(1)).status, SUCCESS, "unloading the image that was swapped out")
        expect_image(c, extension, extension.image, 1, f"after the unload in round {round_}")


@check("S7", "calls from several threads reach one image or the other in swap after swap", on=COMPAT)
def under_calls(c: ConformanceDriver) -> None:
    """None is lost, and the last ones reach the last image."""
    extension = ImageExtension(c)
    images = (load(c, "again", 1), extension.image)
    sum_ = extension.wrapper("HelperSum")
    calls = [Call(sum_, _ARGUMENTS, repeat=1 << 40, stop_gate=0) for _ in range(_CALLERS)]
    running = [c.begin(one, lane=2 + at) for at, one in enumerate(calls)]
    for number in range(_SWAPS):
        extension.swap(images[number % 2])
    c.open_gate(0)
    for one in running:
        called = one.result()
        expect(called.calls > 0, "a thread made no call")
        version, value = result(called)
        expect(version in VERSIONS.values() and value == weighed(_ARGUMENTS), f"a call returned {version}, {value}")
    expect_image(c, extension, extension.image, 1, "after all swaps")


@check(
    "S8",
    "an image without one of the endpoints, or that calls one in another way, is refused before the first phase",
    on=COMPAT,
    each=("missing", "changed"),
)
def not_the_same(c: ConformanceDriver, name: str) -> None:
    """Nothing changes, not even the endpoints that are the same."""
    extension = ImageExtension(c)
    other = load(c, name, 1)
    wrappers, before = extension.wrappers(extension.image), held(c)
    reply = extension.try_swap(other, in_phase(0, Phase()))
    wanted = PROCEDURE_NOT_FOUND if name == "missing" else REVISION_MISMATCH
    expect_status(reply.status, wanted, f"the swap to {other.service}")
    expect_phases(reply, [], "the refused swap")
    expect_held(c, before, "after the refused swap")
    extension.expect_none(other, other.names, "which was refused")
    expect_equal(extension.wrappers(extension.image), wrappers, "wrappers after the refused swap")
    expect_image(c, extension, extension.image, 1, "after the refused swap")


@check("S9", "an endpoint that only the new image has is found once the swap has succeeded", on=COMPAT)
def added(c: ConformanceDriver) -> None:
    """Then it is the extension's, and the image without it is refused."""
    extension = ImageExtension(c)
    second = load(c, "second", 1)
    before = c.counters().wrappers
    extension.expect_none(second, [ADDED], "before the swap")
    extension.swap(second)
    expect_equal(c.counters().wrappers, before + 1, "wrappers after the swap")
    expect_equal(call(c, extension.wrapper(ADDED, second), [0x1234]), (2, 0x1234), "a call of the new endpoint")
    reply = extension.try_swap(extension.image)
    expect_status(reply.status, PROCEDURE_NOT_FOUND, "the swap to the image without it")
    expect_equal(call(c, extension.wrapper(ADDED, second), [0x1234]), (2, 0x1234), "a call after that was refused")


@check("S9", "of a swap that was refused in a phase no new endpoint is left", on=COMPAT, each=(0, 1, 2))
@check("S10", "a swap that is refused in a phase leaves the old image in force", on=COMPAT, each=(0, 1, 2))
@check("R16", "V2: after a rollback the old image's pointers find the wrappers again", on=COMPAT, each=(0, 1, 2))
def refused_in_phase(c: ConformanceDriver, phase: int) -> None:
    """The status is the callback's; the image may be tried again."""
    extension = ImageExtension(c)
    second = load(c, "second", 1)
    wrappers, before = extension.wrappers(extension.image), held(c)
    reply = extension.try_swap(second, in_phase(phase, Phase(UNSUCCESSFUL), context=0x77))
    expect_status(reply.status, UNSUCCESSFUL, "the refused swap")
    expect_phases(reply, range(phase + 1), "the refused swap")
    expect_held(c, before, "after the refused swap")
    extension.expect_none(second, second.names, "which was refused")
    expect_equal(extension.wrappers(extension.image), wrappers, "wrappers after the refused swap")
    expect_image(c, extension, extension.image, 1, "after the refused swap")
    extension.swap(second)
    expect_image(c, extension, second, 2, "after a swap that nobody refused")


@check("S10", "the callback gets the three phases and its context, and NULL does without", on=COMPAT)
def phases(c: ConformanceDriver) -> None:
    """In the order of R17, at PASSIVE_LEVEL."""
    extension = ImageExtension(c)
    again = load(c, "again", 1)
    reply = extension.swap(again, in_phase(1, Phase(), context=0x1234_5678_9ABC))
    expect_phases(reply, (0, 1, 2), "the swap")
    told = {(one.context, one.irql) for one in reply.phases[:3]}
    expect_equal(told, {(0x1234_5678_9ABC, 0)}, "context and IRQL of the callback")
    expect_phases(extension.swap(extension.image), [], "the swap without a callback")


@check("S10", "a call that does not leave lets the swap fail after the drain limit, and the old image stays", on=COMPAT)
def drain_limit(c: ConformanceDriver) -> None:
    """When it has left, the swap succeeds."""
    extension = ImageExtension(c, drain_timeout_ms=50)
    image, again = extension.image, load(c, "again", 1)
    inside = c.begin(Call(extension.wrapper("HelperHold")), lane=2)
    c.wait(Condition.active(1))
    reply = extension.try_swap(again, in_phase(0, Phase()))
    expect_status(reply.status, UNSUCCESSFUL, "the swap with a call inside")
    expect_phases(reply, [0], "that swap")
    expect_image(c, extension, image, 1, "while a call is inside")
    c.run(Call(image.function("HelperLetGo")))
    expect_equal(result(inside.result()), (1, 0), "the call that was inside")
    extension.swap(again)
    expect_image(c, extension, again, 6, "when the call has left")


@check("S10", "a call in the stall is held, and then reaches the new image", on=COMPAT)
def held_call(c: ConformanceDriver) -> None:
    """Old pointers find the wrapper until the switch."""
    extension = ImageExtension(c)
    again = load(c, "again", 1)
    sum_ = extension.wrapper("HelperSum")
    swap = extension.begin_swap(again, in_phase(1, Phase(gate=0)))
    c.wait(Condition.at_gate(0))
    extension.expect_none(again, ["HelperSum"], "before the switch")
    waits = c.begin(Call(sum_, _ARGUMENTS), lane=2)
    c.wait(Condition.held())
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the swap")
    expect_equal(result(waits.result()), (6, weighed(_ARGUMENTS)), "the call that was held")


@check("S10", "a swap of the same extension from its phase callback is refused as a deadlock", on=COMPAT)
def from_its_callback(c: ConformanceDriver) -> None:
    """As a registration is (R26)."""
    extension = ImageExtension(c)
    again = load(c, "again", 1)
    nested = c.prepare(SwapImage(0, helper_driver(0)))
    extension.swap(again, in_phase(0, Phase(prepared=nested.number)))
    reply = c.prepared(nested)[1]
    expect(reply is not None and reply.status == POSSIBLE_DEADLOCK, f"the swap from the callback: {reply}")
    expect_image(c, extension, again, 6, "after the swap around it")


@check("S6", "a swap to an image whose table lies outside of it is refused, and nothing changes", on=COMPAT)
def swap_to_table_outside(c: ConformanceDriver) -> None:
    """No phase is called."""
    extension = ImageExtension(c)
    cut = load(c, "cut", 1)
    before = held(c)
    reply = extension.try_swap(cut, in_phase(0, Phase()))
    expect_status(reply.status, INVALID_IMAGE_FORMAT, "the swap")
    expect_phases(reply, [], "the refused swap")
    expect_held(c, before, "after the refused swap")
    expect_image(c, extension, extension.image, 1, "after the refused swap")


@check("S11", "no extension, no driver, an image without a table, and an extension without one", on=COMPAT)
def refusals(c: ConformanceDriver) -> None:
    """Each has its status."""
    extension = ImageExtension(c)
    plain = c.run(LoadHelper(1, "conformance_owner"))
    expect_status(plain.status, SUCCESS, "loading an image without a table")
    Extension(c, 1, number=1)
    cases = (
        (SwapImage(NONE, helper_driver(0)), INVALID_PARAMETER_1, "a NULL extension"),
        (SwapImage(0, NO_DRIVER), INVALID_PARAMETER_2, "a NULL driver object"),
        (SwapImage(0, helper_driver(1)), NOT_FOUND, "an image without a table"),
        (SwapImage(0, OWN_DRIVER), NOT_FOUND, "the conformance driver's image"),
        (SwapImage(1, helper_driver(0)), NOT_SUPPORTED, "an extension of registered endpoints"),
    )
    before = held(c)
    for request, wanted, what in cases:
        expect_status(c.run(request).status, wanted, f"a swap with {what}")
    expect_held(c, before, "after the refused swaps")
    expect_image(c, extension, extension.image, 1, "after the refused swaps")


@check("S13", "a swap of images with an endpoint more: each allocation in turn fails", on=COMPAT)
def no_memory_to_swap(c: ConformanceDriver) -> None:
    """No phase is called and nothing changes, until none fails."""
    extension = ImageExtension(c)
    second = load(c, "second", 1)
    before = held(c)
    for nth in range(1, 64):
        reply = extension.try_swap(second, in_phase(0, Phase()), fail_allocation=nth)
        if reply.status == SUCCESS:
            expect(nth > 2, "the swap needed no memory")
            expect_image(c, extension, second, 2, "after the swap")
            return
        expect_status(reply.status, INSUFFICIENT_RESOURCES, f"the swap whose allocation {nth} failed")
        expect_phases(reply, [], "that swap")
        expect_held(c, before, f"after allocation {nth} failed")
        expect_image(c, extension, extension.image, 1, f"after allocation {nth} failed")
    expect(False, "the swap never succeeded")


@check("S13", "a swap to an image with an endpoint more, and no wrapper for it, is refused", on=COMPAT)
def no_wrapper_to_swap(c: ConformanceDriver) -> None:
    """No phase is called and nothing changes; an image without it needs none."""
    extension = ImageExtension(c)
    second, again = load(c, "second", 1), load(c, "again", 2)
    full = leave_wrappers(c, 0)
    before = held(c)
    for _ in range(3):
        reply = extension.try_swap(second, in_phase(0, Phase()))
        expect_status(reply.status, INSUFFICIENT_RESOURCES, "the swap")
        expect_phases(reply, [], "that swap")
        expect_held(c, before, "after the refused swap")
        expect_image(c, extension, extension.image, 1, "after the refused swap")
    extension.swap(again)
    expect_image(c, extension, again, 6, "after the swap that needs no wrapper")
    expect_status(full.delete(), SUCCESS, "deleting what took the wrappers")
    extension.swap(second)
    expect_image(c, extension, second, 2, "when there is a wrapper")
