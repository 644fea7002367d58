"""Checks of what the kernel itself has (N1-N5); where that works, the checks of all other clauses are made on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hotswap.conformance.check import Inconclusive, check, expect, expect_equal
from hotswap.conformance.objects import (
    NO_DRIVER,
    OWN_DRIVER,
    Condition,
    DriverObject,
    Endpoint,
    Function,
    helper_driver,
)
from hotswap.conformance.replies import Runtime, RuntimeInfo
from hotswap.conformance.requests import (
    CreateExtension,
    CreateWorker,
    Features,
    FromDriver,
    LoadHelper,
    Register,
    SelectRuntime,
)
from hotswap.conformance.swap_rig import (
    DRIVER_BLOCKED,
    NOT_SUPPORTED,
    PROCEDURE_NOT_FOUND,
    SUCCESS,
    Extension,
    expect_status,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_EVERY = ("compat", "native", "stub", "absent")
_ENABLED = 1
_EXPORTS = 7
_ALL_MISSING = (1 << _EXPORTS) - 1
_KNOWN_MISSING: Mapping[int, str] = {
    0: "the whole family, as 25H2 and later",
    1 << 4 | 1 << 5: "the family of 24H2, without the lookups by pointer and by driver object",
    _ALL_MISSING: "nothing of the family, as before 24H2",
}
"""Bits of the exports that are not there (HOTSWAP_NATIVE_EXPORT)."""
_OWNERS: Mapping[str, DriverObject] = {"none": NO_DRIVER, "own": OWN_DRIVER, "helper": helper_driver(0)}


def chosen(c: ConformanceDriver) -> RuntimeInfo:
    """What the kernel has, and what the driver takes by itself."""
    return c.run(SelectRuntime(Runtime.AUTO))


def owner(c: ConformanceDriver, name: str) -> DriverObject:
    """The driver object, its helper loaded."""
    if name == "helper":
        expect_status(c.run(LoadHelper(0)).status, SUCCESS, "loading the helper")
    return _OWNERS[name]


@check("N1", "native is taken where nothing is missing and bit 0 is set, and the reason is told where not", on=_EVERY)
def native_only_where_it_works(c: ConformanceDriver) -> None:
    """By the driver's own lookup of the exports."""
    info = chosen(c)
    if info.missing_mask:
        wanted = (PROCEDURE_NOT_FOUND, Runtime.COMPAT)
    elif not info.feature_flags & _ENABLED:
        wanted = (NOT_SUPPORTED, Runtime.COMPAT)
    else:
        wanted = (SUCCESS, Runtime.NATIVE)
    expect_equal((int(info.native_status), info.runtime), wanted, "status and runtime")


@check("N2", "the exports that are missing are those of a known kernel", on=_EVERY)
def exports_of_a_known_kernel(c: ConformanceDriver) -> None:
    """On one that is not known the reference has to be looked at again."""
    missing = chosen(c).missing_mask
    expect_equal(missing & ~_ALL_MISSING, 0, "exports that are missing and unknown")
    if missing not in _KNOWN_MISSING:
        raise Inconclusive(f"this kernel lacks the exports {missing:#x}, which no kernel examined so far does")


@check("N2", "where nothing is exported nothing is asked: the feature flags stay 0", on=("compat", "absent"))
def nothing_is_asked(c: ConformanceDriver) -> None:
    """Names that do not resolve are called by nobody."""
    info = chosen(c)
    if info.missing_mask:
        expect_equal(info.feature_flags, 0, "feature flags of a kernel without the family")
    else:
        expect(info.feature_flags & ~_ENABLED == 0, f"feature flags {info.feature_flags:#x} have reserved bits")


@check("N3", "Enabled is 0, and only the 4 bytes of the flags are written", on=("stub",), each=tuple(_OWNERS))
def not_enabled(c: ConformanceDriver, name: str) -> None:
    """Whoever asks."""
    reply = c.run(Features(owner(c, name)))
    expect_equal((reply.flags, reply.guard), (0, reply.before), "the flags, and the 4 bytes behind them")


@check(
    "N4", "Create refuses and stores NULL, and the driver object leads to nothing", on=("stub",), each=tuple(_OWNERS)
)
def create_refuses(c: ConformanceDriver, name: str) -> None:
    """As often as it is asked."""
    driver = owner(c, name)
    for _ in range(3):
        reply = c.run(CreateExtension(0, driver))
        expect(reply.status in (NOT_SUPPORTED, DRIVER_BLOCKED), f"creating an extension: {reply.status!r}")
        expect_equal(reply.pointer, 0, "the extension's pointer")
        expect_equal(c.run(FromDriver(driver)).pointer, 0, "what the driver object leads to")


@check(
    "N5",
    "the fallback makes extension, wrapper, worker and swap where native is not to be had",
    on=("compat", "stub", "absent"),
)
def fallback_works(c: ConformanceDriver) -> None:
    """One signal before the swap, one after it."""
    info = chosen(c)
    if info.runtime is Runtime.NATIVE:
        c.run(SelectRuntime(Runtime.COMPAT))
    extension = Extension(c, 0)
    for turn, version in enumerate((1, 2)):
        array = [Endpoint(0, Function.routine(version, 0))]
        expect_status(c.run(Register(0, array)).status, SUCCESS, f"registering version {version}")
        if turn == 0:
            created = c.run(CreateWorker(0, 0, extension.wrapper()))
            expect_status(created.status, SUCCESS, "creating a worker")
        c.set_event(0)
        c.wait(Condition.iterations(0, turn + 1))
        expect_equal(c.worker(0).last_version, version, "version of the iteration")
