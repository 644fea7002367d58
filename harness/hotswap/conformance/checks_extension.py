"""Checks of extensions and their owners (R1-R5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import (
    NO_DRIVER,
    OWN_DRIVER,
    UNTOUCHED,
    DriverObject,
    Function,
    helper_driver,
)
from hotswap.conformance.requests import (
    CreateExtension,
    Features,
    FromDriver,
    LoadHelper,
    LookupPointer,
    SetAvailability,
)
from hotswap.conformance.swap_rig import (
    COMPAT,
    DRIVER_BLOCKED,
    INVALID_PARAMETER_2,
    NOT_FOUND,
    NOT_SUPPORTED,
    RESOURCE_IN_USE,
    SUCCESS,
    Extension,
    expect_held,
    expect_status,
    expect_under_way,
    held,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_ANY = ("compat", "native", "stub")
_ENABLED = 1
_OWNERS = {"none": NO_DRIVER, "own": OWN_DRIVER}


def owned_by(c: ConformanceDriver, driver: DriverObject) -> int:
    """The pointer that a driver object leads to, 0 for none."""
    return c.run(FromDriver(driver)).pointer


# R1


@check("R1", "Enabled is set where an extension can be made, and clear where Create refuses with NULL", on=_ANY)
def create_does_as_features_say(c: ConformanceDriver) -> None:
    """Either both or none."""
    enabled = c.run(Features()).flags & _ENABLED
    reply = c.run(CreateExtension(0))
    if enabled:
        expect_status(reply.status, SUCCESS, "creating an extension where Enabled is set")
        expect(reply.pointer not in (0, UNTOUCHED), f"the extension's pointer is {reply.pointer:#x}")
    else:
        refused = (NOT_SUPPORTED, DRIVER_BLOCKED)
        expect(reply.status in refused, f"creating an extension where Enabled is clear: {reply.status}")
        expect_equal(reply.pointer, 0, "the extension's pointer after a refusal")


@check("R1", "Features writes 4 bytes, of which bit 0 is defined, asked for", on=_ANY, each=tuple(_OWNERS))
def features_are_four_bytes(c: ConformanceDriver, owner: str) -> None:
    """The flags are a union of one ULONG; the variable held a pattern before."""
    reply = c.run(Features(_OWNERS[owner]))
    expect(reply.flags != reply.before, "the flags were not written")
    expect_equal(reply.guard, reply.before, "the 4 bytes behind the flags")
    expect_equal(reply.flags & ~_ENABLED, 0, "the reserved bits")


@check("R1", "a creation flag is STATUS_INVALID_PARAMETER_2 (our choice)", on=COMPAT, each=(1, 0x80000000, 0xFFFFFFFF))
def creation_flags(c: ConformanceDriver, flags: int) -> None:
    """No flag is defined. The refusal leaves the owner free."""
    before = held(c)
    reply = c.run(CreateExtension(0, OWN_DRIVER, flags))
    expect_status(reply.status, INVALID_PARAMETER_2, f"creating an extension with flags {flags:#x}")
    expect_equal(reply.pointer, 0, "the extension's pointer")
    expect_held(c, before, "after the refusal")
    expect_equal(owned_by(c, OWN_DRIVER), 0, "what the owner leads to")


@check("R1", "on a system without support Enabled is 0 and Create answers NOT_SUPPORTED with NULL", on=COMPAT)
def without_support(c: ConformanceDriver) -> None:
    """For every owner; an extension that was made before stays as it is."""
    made = Extension(c)
    c.run(SetAvailability(False))
    for owner in _OWNERS.values():
        expect_equal(c.run(Features(owner)).flags, 0, f"features, asked for {owner}")
        reply = c.run(CreateExtension(1, owner))
        expect_status(reply.status, NOT_SUPPORTED, "creating an extension without support")
        expect_equal(reply.pointer, 0, "its pointer")
    made.swap(2)
    made.expect_version(2)
    c.run(SetAvailability(True))
    expect_equal(c.run(Features()).flags, _ENABLED, "features, once there is support")
    expect_status(c.run(CreateExtension(1, OWN_DRIVER)).status, SUCCESS, "creating an extension with support")


@check("R1", "for a driver that is excluded Enabled is 0 and Create answers DRIVER_BLOCKED with NULL", on=COMPAT)
def excluded_driver(c: ConformanceDriver) -> None:
    """For that one alone."""
    c.run(SetAvailability(True, OWN_DRIVER))
    expect_equal(c.run(Features(OWN_DRIVER)).flags, 0, "features of the excluded driver")
    expect_equal(c.run(Features(NO_DRIVER)).flags, _ENABLED, "features of the system")
    reply = c.run(CreateExtension(0, OWN_DRIVER))
    expect_status(reply.status, DRIVER_BLOCKED, "creating an extension for the excluded driver")
    expect_equal((reply.pointer, owned_by(c, OWN_DRIVER)), (0, 0), "its pointer, and what the driver leads to")
    Extension(c).expect_version(1, why="in an extension of nobody's")


# R2


@check("R2", "a second extension of one owner is STATUS_RESOURCE_IN_USE, and the first one still works", on=COMPAT)
def second_of_one_owner(c: ConformanceDriver) -> None:
    """Found, called and swapped as before; nothing stays of the refusal."""
    first = Extension(c, driver=OWN_DRIVER)
    before = held(c)
    reply = c.run(CreateExtension(1, OWN_DRIVER))
    expect_status(reply.status, RESOURCE_IN_USE, "creating a second extension")
    expect_equal(reply.pointer, 0, "the second extension's pointer")
    expect_held(c, before, "after the refusal")
    expect_equal(owned_by(c, OWN_DRIVER), first.pointer, "what the owner leads to")
    first.expect_version(1, why="after the refusal")
    first.swap(2)
    first.expect_version(2)


@check("R2", "an owner whose extension was deleted may make another", on=COMPAT)
def owner_again(c: ConformanceDriver) -> None:
    """Ten times over."""
    for _ in range(10):
        extension = Extension(c, driver=OWN_DRIVER)
        expect_equal(owned_by(c, OWN_DRIVER), extension.pointer, "what the owner leads to")
        expect_status(extension.delete(), SUCCESS, "deleting the extension")
        expect_equal(owned_by(c, OWN_DRIVER), 0, "what the owner leads to after the deletion")


@check("R2", "different driver objects each own one", on=COMPAT)
def one_for_each_owner(c: ConformanceDriver) -> None:
    """Three owners and none at all, side by side."""
    services = ("conformance_owner", "conformance_owner_b")
    for helper, service in enumerate(services):
        expect_status(c.run(LoadHelper(helper, service)).status, SUCCESS, f"loading {service}")
    owners = (OWN_DRIVER, helper_driver(0), helper_driver(1))
    made = [Extension(c, number=number, driver=owner) for number, owner in enumerate((*owners, NO_DRIVER))]
    expect_equal(len({extension.pointer for extension in made}), 4, "different extensions")
    for extension, owner in zip(made, owners, strict=False):
        expect_equal(owned_by(c, owner), extension.pointer, f"what {owner} leads to")


# R3


@check("R3", "an extension without an owner works, and no driver object leads to it")
def without_owner(c: ConformanceDriver) -> None:
    """Nor does NULL."""
    extension = Extension(c)
    for owner in (NO_DRIVER, OWN_DRIVER):
        expect_equal(owned_by(c, owner), 0, f"what {owner} leads to")
    extension.swap(2)
    extension.expect_version(2)


@check("R3", "several extensions without an owner are independent (our choice)", on=COMPAT)
def several_without_owner(c: ConformanceDriver) -> None:
    """Same ids, other wrappers; a stall of one holds no call of the other."""
    one, other = Extension(c, number=0), Extension(c, number=1)
    expect(one.address() != other.address(), "two extensions have the same wrapper")
    swap = one.begin_stalled(2, gate=0)
    other.expect_version(1, why="while another extension is stalled")
    other.swap(3)
    other.expect_version(3, why="after a swap beside another one")
    expect_under_way(c, swap, "its ProxyStalled callback has not returned")
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the swap of the first extension")
    one.expect_version(2)
    other.expect_version(3, why="after the swap of the other extension")


# R5


@check("R5", "an owner without an endpoint table has no wrapper before it registers one", on=COMPAT)
def no_table_no_wrappers(c: ConformanceDriver) -> None:
    """Neither by id nor by pointer."""
    extension = Extension(c, 0, driver=OWN_DRIVER)
    extension.expect_unknown(range(16), "nothing was registered")
    reply = c.run(LookupPointer(0, Function.echo(1, 0)))
    expect_status(reply.status, NOT_FOUND, "looking up a function before any registration")
    expect_equal(c.counters().wrappers, 0, "wrappers")
