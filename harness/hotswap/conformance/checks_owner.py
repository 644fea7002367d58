"""Checks of owners: what leads to an extension, and that it goes with its owner (R4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.checks_extension import owned_by
from hotswap.conformance.objects import (
    NO_DRIVER,
    NONE,
    OWN_DRIVER,
    UNREADY_DRIVER,
    Condition,
    Endpoint,
    Function,
    FunctionKind,
    Phase,
    helper_driver,
)
from hotswap.conformance.requests import (
    Behave,
    Call,
    CreateWorker,
    DeleteExtension,
    FromDriver,
    JoinWorker,
    LoadHelper,
    LookupId,
    LookupPointer,
    Register,
    UnloadHelper,
)
from hotswap.conformance.swap_calls import begin_until_held
from hotswap.conformance.swap_rig import (
    COMPAT,
    DELETE_PENDING,
    DEVICE_BUSY,
    NOT_FOUND,
    PROBE,
    SUCCESS,
    Extension,
    expect_held,
    expect_refused,
    expect_status,
    expect_under_way,
    held,
    in_phase,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending
    from hotswap.conformance.replies import Done

RESIDENT = "conformance_resident"
"""A helper driver without DriverUnload."""


def owned(c: ConformanceDriver, ids: int = 1, *, probe: bool = False) -> Extension:
    """An extension of helper 0, which is loaded for it."""
    expect_status(c.run(LoadHelper(0)).status, SUCCESS, "loading the owner")
    return Extension(c, ids, driver=helper_driver(0), probe=probe)


def begin_unload(c: ConformanceDriver) -> Pending[Done]:
    """Begin the owner's unload on lane 1."""
    return c.begin(UnloadHelper(0), lane=1)


def expect_leads_nowhere(c: ConformanceDriver, wrapper: Function, why: str) -> None:
    """CheckFailed unless a call of this wrapper returns 0 and reaches nothing."""
    called = c.run(Call(wrapper, range(8)))
    expect_equal((called.seen_kind, called.value), (FunctionKind.NULL, 0), f"what a call reached, and its value, {why}")


@check("R4", "an owner leads to its extension once that is made, and not before", on=COMPAT)
def found_once_made(c: ConformanceDriver) -> None:
    """By the same pointer that Create gave."""
    expect_equal(owned_by(c, OWN_DRIVER), 0, "what the owner leads to before the creation")
    extension = Extension(c, driver=OWN_DRIVER)
    expect_equal(owned_by(c, OWN_DRIVER), extension.pointer, "what the owner leads to")


@check("R4", "a driver object that is NULL or not set up leads to nothing", on=COMPAT)
def unready_owner(c: ConformanceDriver) -> None:
    """Its DriverExtension is NULL."""
    Extension(c, driver=OWN_DRIVER)
    for owner in (NO_DRIVER, UNREADY_DRIVER):
        reply = c.run(FromDriver(owner))
        expect_equal((reply.pointer, reply.extension), (0, NONE), f"what {owner} leads to")


@check("R4", "the extension goes with its owner: after the unload neither it nor its wrappers are held", on=COMPAT)
def goes_with_its_owner(c: ConformanceDriver) -> None:
    """Used before: registered, called and swapped. Loaded again, the owner may make another."""
    before = held(c)
    for round_ in range(3):
        expect_status(c.run(LoadHelper(0)).status, SUCCESS, "loading the owner")
        extension = Extension(c, 4, driver=helper_driver(0))
        extension.swap(2, range(4))
        extension.expect_version(2, range(4))
        expect_equal(owned_by(c, helper_driver(0)), extension.pointer, "what the owner leads to")
        expect_status(c.run(UnloadHelper(0)).status, SUCCESS, f"unloading the owner, round {round_}")
        expect_held(c, before, "after the owner's unload")


@check("R4", "another owner's extension stays when one owner unloads", on=COMPAT)
def only_its_own(c: ConformanceDriver) -> None:
    """It is found, called and swapped."""
    for helper, service in enumerate(("conformance_owner", "conformance_owner_b")):
        expect_status(c.run(LoadHelper(helper, service)).status, SUCCESS, f"loading {service}")
    Extension(c, number=0, driver=helper_driver(0))
    stays = Extension(c, number=1, driver=helper_driver(1))
    expect_status(c.run(UnloadHelper(0)).status, SUCCESS, "unloading the first owner")
    expect_equal(owned_by(c, helper_driver(1)), stays.pointer, "what the second owner leads to")
    stays.swap(2)
    stays.expect_version(2)


@check("R4", "an owner that deletes its extension first unloads as any driver", on=COMPAT)
def deleted_before_the_unload(c: ConformanceDriver) -> None:
    """Nothing of the runtime is left in its driver object."""
    before = held(c)
    expect_status(c.run(LoadHelper(0)).status, SUCCESS, "loading the owner")
    extension = Extension(c, driver=helper_driver(0))
    expect_status(extension.delete(), SUCCESS, "deleting the extension")
    expect_status(c.run(UnloadHelper(0)).status, SUCCESS, "unloading the owner")
    expect_held(c, before, "after the unload")


@check("R4", "an extension is not deleted under a registration, nor from its callback", on=COMPAT, each=(0, 1, 2))
def busy_while_registering(c: ConformanceDriver, phase: int) -> None:
    """STATUS_DEVICE_BUSY in each phase, from another thread; afterwards it goes."""
    extension = Extension(c)
    inside = c.prepare(DeleteExtension(0))
    stays = in_phase(phase, Phase(gate=0, prepared=inside.number))
    swap = extension.begin_swap(2, callback=stays)
    c.wait(Condition.at_gate(0))
    expect_status(extension.delete(), DEVICE_BUSY, "deleting the extension while it registers")
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the registration")
    refused = c.prepared(inside)[1]
    expect(refused is not None and refused.status == DEVICE_BUSY, f"deleting it from its callback: {refused}")
    extension.expect_version(2)
    expect_status(extension.delete(), SUCCESS, "deleting the extension after the registration")


# What happens to those who are still there


@check("R4", "after the unload a wrapper that somebody kept leads nowhere, and returns 0 (our choice)", on=COMPAT)
def kept_wrapper(c: ConformanceDriver) -> None:
    """Of whatever number of parameters."""
    extension = owned(c, 0)
    array = [Endpoint(count, Function.echo(1, count % 16), count) for count in (0, 4, 5, 32)]
    expect_status(extension.register(*array).status, SUCCESS, "registering")
    wrappers = [extension.wrapper(element.id) for element in array]
    expect_status(c.run(UnloadHelper(0)).status, SUCCESS, "unloading the owner")
    for wrapper in wrappers:
        expect_leads_nowhere(c, wrapper, "after its owner was unloaded")


@check(
    "R4",
    "the unload ends workers that wait, without a call (our choice)",
    on=COMPAT,
    each=(1, 8),
)
def waiting_workers_end(c: ConformanceDriver, workers: int) -> None:
    """Their threads have ended when the unload returns, and consumed nothing."""
    before = held(c)
    extension = _with_routine(c)
    for worker in range(workers):
        created = c.run(CreateWorker(worker, 0, extension.wrapper(), [worker]))
        expect_status(created.status, SUCCESS, "creating a worker")
    expect_status(c.run(UnloadHelper(0)).status, SUCCESS, "unloading the owner")
    expect_held(c, before, "after the owner's unload")
    for worker in range(workers):
        expect_status(c.run(JoinWorker(worker)).status, SUCCESS, "waiting for the worker's thread")
        expect_equal(c.worker(worker).iterations, 0, "iterations of a worker that was never signalled")
        c.set_event(worker)
        expect_equal(c.event(worker).previous_state, 1, "state of an event that nobody waits for")


@check(
    "R4",
    "the unload waits for a routine that runs, and then ends its worker (our choice)",
    on=COMPAT,
)
def running_worker_ends(c: ConformanceDriver) -> None:
    """Though it returns TRUE, and another signal is there."""
    extension = _with_routine(c)
    c.run(Behave(1, 0, gate_after=0))
    expect_status(c.run(CreateWorker(0, 0, extension.wrapper())).status, SUCCESS, "creating a worker")
    c.set_event(0)
    c.wait(Condition.at_gate(0))
    c.set_event(0)
    unload = begin_unload(c)
    expect_under_way(c, unload, "a routine is running")
    c.open_gate(0)
    expect_status(unload.result().status, SUCCESS, "unloading the owner")
    expect_status(c.run(JoinWorker(0)).status, SUCCESS, "waiting for the worker's thread")
    expect_equal(c.worker(0).iterations, 1, "iterations")


@check("R4", "the unload waits for a call inside; calls that come meanwhile return 0 (our choice)", on=COMPAT)
def call_inside_is_waited_for(c: ConformanceDriver) -> None:
    """None of them reaches the endpoint."""
    before = held(c)
    extension = owned(c, probe=True)
    c.run(Behave(1, 0, gate_after=0, return_value=0x1234))
    inside = extension.begin_inside(lane=2)
    extension.wrapper(PROBE)
    unload = begin_unload(c)
    late = begin_until_held(c, extension)
    expect_under_way(c, unload, "a call is inside")
    c.open_gate(0)
    expect_status(unload.result().status, SUCCESS, "unloading the owner")
    called = inside.result()
    ran_in(called, 1, "the call that was inside")
    expect_equal(called.value, 0x1234, "its result")
    nowhere = late.result()
    expect_equal(
        (nowhere.seen_kind, nowhere.value), (FunctionKind.NULL, 0), "what the call that came meanwhile reached"
    )
    expect_held(c, before, "after the owner's unload")


@check("R4", "during the unload nothing new is taken: STATUS_DELETE_PENDING (our choice)", on=COMPAT)
def closed_while_unloading(c: ConformanceDriver) -> None:
    """Registrations, workers and options are refused, lookups find nothing."""
    extension = _with_routine(c, probe=True)
    wrapper = extension.wrapper()
    c.run(Behave(1, 0, gate_after=0))
    inside = c.begin(Call(wrapper), lane=2)
    c.wait(Condition.at_gate(0))
    extension.wrapper(PROBE)
    unload = begin_unload(c)
    begin_until_held(c, extension)
    refused = (
        c.run(Register(0, [Endpoint(0, Function.routine(2, 0))]), lane=4).status,
        c.run(CreateWorker(0, 0, wrapper), lane=4).status,
    )
    expect_equal([int(status) for status in refused], [DELETE_PENDING] * 2, "statuses of a registration and a worker")
    expect_refused(c.run(DeleteExtension(0), lane=4).status, "deleting it")
    expect_equal(c.run(LookupId(0, 0), lane=4).address, 0, "the wrapper of its id")
    expect_status(c.run(LookupPointer(0, Function.routine(1, 0)), lane=4).status, NOT_FOUND, "looking its function up")
    expect_equal(c.run(FromDriver(helper_driver(0)), lane=4).pointer, 0, "what the owner leads to")
    c.open_gate(0)
    expect_status(unload.result().status, SUCCESS, "unloading the owner")
    inside.result()


@check("R4", "the unload waits for a swap that is under way (our choice)", on=COMPAT, each=(0, 1, 2))
def swap_under_way(c: ConformanceDriver, phase: int) -> None:
    """Its callback is code of somebody who is leaving."""
    before = held(c)
    extension = owned(c)
    swap = extension.begin_swap(2, callback=in_phase(phase, Phase(gate=0)), lane=2)
    c.wait(Condition.at_gate(0))
    unload = begin_unload(c)
    expect_under_way(c, unload, "a swap is under way")
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the swap")
    expect_status(unload.result().status, SUCCESS, "unloading the owner")
    expect_held(c, before, "after the owner's unload")


@check("R4", "a drain limit of weeks does not end the wait at once", on=COMPAT, each=(0x80000000, 0xFFFFFFFF))
def swap_under_way_and_a_limit_of_weeks(c: ConformanceDriver, limit_ms: int) -> None:
    """The unload waits for twice the limit: that passes 32 bits."""
    extension = owned(c)
    extension.set_options(drain_timeout_ms=limit_ms)
    swap = extension.begin_swap(2, callback=in_phase(0, Phase(gate=0)), lane=2)
    c.wait(Condition.at_gate(0))
    unload = begin_unload(c)
    expect_under_way(c, unload, "a swap is under way")
    c.open_gate(0)
    expect_status(swap.result().status, SUCCESS, "the swap")
    expect_status(unload.result().status, SUCCESS, "unloading the owner")


@check("R4", "an owner without DriverUnload stays, and so does its extension", on=COMPAT)
def resident_owner(c: ConformanceDriver) -> None:
    """It cannot be unloaded, so nothing is taken over; the extension can be deleted, and made again."""
    expect_status(c.run(LoadHelper(0, RESIDENT)).status, SUCCESS, "loading the owner")
    for _ in range(2):
        extension = Extension(c, driver=helper_driver(0))
        c.run(UnloadHelper(0))
        expect_equal(owned_by(c, helper_driver(0)), extension.pointer, "what the owner leads to")
        extension.swap(2)
        extension.expect_version(2)
        expect_status(extension.delete(), SUCCESS, "deleting the extension")


def _with_routine(c: ConformanceDriver, *, probe: bool = False) -> Extension:
    extension = owned(c, 0, probe=probe)
    expect_status(extension.register(Endpoint(0, Function.routine(1, 0))).status, SUCCESS, "registering a routine")
    return extension
