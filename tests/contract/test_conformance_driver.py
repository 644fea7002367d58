"""The conformance driver itself: every request does what it says, nonsense is refused, and a reset brings it back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import fields as fields_of

import pytest

from hotswap.conformance import replies, requests
from hotswap.conformance.driver import ConformanceDriver
from hotswap.conformance.events import event_names
from hotswap.conformance.guest import conformance_driver
from hotswap.conformance.objects import (
    NO_DRIVER,
    NONE,
    OWN_DRIVER,
    UNTOUCHED,
    Action,
    Callback,
    CallKind,
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
    CloseWorker,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    Features,
    FromDriver,
    GetVersion,
    JoinWorker,
    LoadHelper,
    LookupAll,
    LookupId,
    LookupPointer,
    QueryHelper,
    Register,
    ReleaseWorker,
    Request,
    SelectRuntime,
    SetAvailability,
    SetEvent,
    SetEventOnce,
    SetOptions,
    UnloadHelper,
)
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import GuestFault
from hotswap.paths import package_data
from hotswap.testing.guest import GuestMachine
from hotswap.trace.tracelogging import provider_guid
from hotswap.transport.agent import AgentError

TIMEOUT = 0x102
NOT_SUPPORTED = 0xC00000BB
DEVICE_BUSY = 0x80000011
ECHO = Function.echo(1, 1)


@pytest.fixture
def conformance(machine: GuestMachine) -> Iterator[ConformanceDriver]:
    """The driver as after loading, in the guest that the tests of this process share."""
    with conformance_driver(machine) as driver:
        yield driver


def ready(c: ConformanceDriver, *endpoints: Endpoint, extension: int = 0) -> list[int]:
    """An extension with these endpoints; the numbers of their wrappers."""
    assert c.run(CreateExtension(extension, OWN_DRIVER if extension == 0 else NO_DRIVER)).status == 0
    assert c.run(SetOptions(extension, drain_timeout_ms=300)).status == 0
    assert c.run(Register(extension, endpoints)).status == 0
    return [c.run(LookupId(extension, endpoint.id)).wrapper for endpoint in endpoints]


# The contract


def requests_of_the_client() -> list[type[Request[object]]]:
    return [kind for kind in vars(requests).values() if isinstance(kind, type) and "method" in vars(kind)]


@pytest.mark.parametrize("kind", requests_of_the_client(), ids=lambda kind: kind.__name__)
def test_every_request_of_the_client_is_one_of_the_contract(build: DriverBuild, kind: type[Request[object]]) -> None:
    ioctl = build.conformance.ioctl(kind.method)
    assert ioctl.input is None or ioctl.request((), requests.fields_on(kind(), 3))
    wanted = [field.attribute for field in ioctl.output.fields if not field.reserved] if ioctl.output else []
    assert [field.name for field in fields_of(kind.reply)] == wanted if kind.reply else not wanted
    caller = ioctl.input is not None and ioctl.input.fields[0].attribute == "caller"
    assert kind.laned == caller
    assert ioctl.pended or not caller


def test_every_request_of_the_contract_has_a_class(build: DriverBuild) -> None:
    served = {kind.method for kind in requests_of_the_client()} | {"drain_trace"}
    assert set(build.conformance.ioctls) <= served


def test_events_are_numbered_as_in_the_header_and_the_provider_is_the_hash_of_its_name() -> None:
    names = event_names()
    assert names[0] == "DriverStart"
    assert names[-1] == "ProxyReleaseDone"
    assert len(names) == 33
    guid = provider_guid("HotSwap.Conformance")
    header = (package_data("driver") / "include" / "conformance_events.h").read_text()
    assert f"{{ 0x{guid.fields[0]:08x}, 0x{guid.fields[1]:04x}, 0x{guid.fields[2]:04x}" in header


# Extensions, registration, lookup


def test_an_extension_is_made_found_and_deleted(conformance: ConformanceDriver) -> None:
    c = conformance
    made = c.run(CreateExtension(3, OWN_DRIVER))
    assert (made.status, made.extension) == (0, 3)
    found = c.run(FromDriver(OWN_DRIVER))
    assert (found.pointer, found.extension) == (made.pointer, 3)
    assert c.snapshot().extension_pointers[3] == made.pointer
    assert c.run(DeleteExtension(3)).status == 0
    assert c.run(FromDriver(OWN_DRIVER)).pointer == 0
    with pytest.raises(GuestFault, match="STATUS_NOT_FOUND"):
        c.run(DeleteExtension(3))


def test_a_number_that_is_taken_is_not_given_again_and_that_of_a_refused_one_is_free(
    conformance: ConformanceDriver,
) -> None:
    c = conformance
    c.run(CreateExtension(0, OWN_DRIVER))
    with pytest.raises(GuestFault, match="COLLISION"):
        c.run(CreateExtension(0))
    refused = c.run(CreateExtension(1, OWN_DRIVER))
    assert not refused.status.succeeded
    assert refused.extension == NONE
    assert c.run(CreateExtension(1)).status == 0


def test_features_are_told_with_what_lies_behind_them(conformance: ConformanceDriver) -> None:
    told = conformance.run(Features(OWN_DRIVER))
    assert told.flags & 1
    assert told.guard == told.before == UNTOUCHED & 0xFFFFFFFF


def test_wrappers_have_numbers_that_go_by_their_address(conformance: ConformanceDriver) -> None:
    c = conformance
    [first, second] = ready(c, Endpoint(1, ECHO), Endpoint(2, Function.echo(1, 2)))
    assert first != second
    by_pointer = c.run(LookupPointer(0, ECHO))
    assert (by_pointer.wrapper, by_pointer.found) == (first, True)
    every = c.run(LookupAll(0, [1, 2, 9], [ECHO, Function.echo(4, 4)]))
    assert [found.wrapper for found in every.by_id] == [first, second, NONE]
    assert [found.wrapper for found in every.by_pointer] == [first, NONE]
    assert not every.by_pointer[1].status.succeeded


def test_the_phase_callback_does_as_it_is_told_and_is_logged(conformance: ConformanceDriver) -> None:
    c = conformance
    ready(c, Endpoint(1, ECHO))
    nested = c.prepare(LookupId(0, 1))
    callback = Callback(Phase(prepared=nested.number), Phase(status=0xC0000001), context=0x1234)
    done = c.run(Register(0, [Endpoint(1, Function.echo(2, 1))], callback))
    assert not done.status.succeeded
    assert [call.phase for call in done.phases] == [0, 1]
    assert {call.context for call in done.phases} == {0x1234}
    assert [int(call.status) for call in done.phases] == [0, 0xC0000001]
    assert {call.thread_id for call in done.phases} == {done.thread_id}
    state, reply = c.prepared(nested)
    assert state.runs == 1
    assert reply is not None
    assert reply.found


def test_the_array_can_be_wrong_in_every_way(conformance: ConformanceDriver) -> None:
    c = conformance
    c.run(CreateExtension(0))
    assert not c.run(Register(0, null_array=True, count=1)).status.succeeded
    assert not c.run(Register(0, [Endpoint(1, Function.null())])).status.succeeded
    assert not c.run(Register(0, [Endpoint(1, ECHO)], count=0)).status.succeeded
    many = c.run(Register(0, [Endpoint(1, ECHO)], fill=40))
    assert many.status == 0
    assert not many.array_written
    assert not many.guard_written
    assert c.counters().wrappers == 40


# Calls


def test_a_call_tells_what_the_endpoint_saw(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO, 32))
    given = [0x0123456789ABCDEF ^ (i << 56) for i in range(32)]
    c.behave(Behave(1, 1, return_value=0xDEADBEEF00000001))
    called = c.run(Call(Function.wrapper(wrapper), given))
    assert (called.seen_kind, called.seen_version, called.seen_endpoint) == (FunctionKind.ECHO, 1, 1)
    assert list(called.seen) == given
    assert called.value == 0xDEADBEEF00000001
    few = c.run(Call(ECHO, given[:2]))
    assert list(few.seen) == [*given[:2], *(UNTOUCHED + i for i in range(2, 32))]


def bits(number: float) -> int:
    return int.from_bytes(struct.pack("<d", number), "little")


def test_floats_go_through_in_their_own_registers(conformance: ConformanceDriver) -> None:
    c = conformance
    [floats, mixed] = ready(c, Endpoint(1, Function.floats(1, 1), 6), Endpoint(2, Function.mixed(1, 2), 6))
    numbers = [bits(n + 0.25) for n in range(6)]
    c.behave(Behave(1, 1, return_value=bits(-7.5)))
    called = c.run(Call(Function.wrapper(floats), numbers, CallKind.FLOATS))
    assert list(called.seen[:6]) == numbers
    assert called.value == bits(-7.5)
    arguments = [11, bits(1.5), 13, bits(2.5), bits(3.5), 16]
    assert list(c.run(Call(Function.wrapper(mixed), arguments, CallKind.MIXED)).seen[:6]) == arguments


def test_repeated_calls_are_counted_by_version_and_checked(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO, 5))
    c.behave(Behave(compute=True, compute_count=5, quiet=True))
    calling = c.begin(Call(Function.wrapper(wrapper), [1, 2, 3, 4, 5], stop_gate=7), lane=1)
    c.wait(Condition.endpoint_calls(1, 1, 100))
    assert c.run(Register(0, [Endpoint(1, Function.echo(2, 1), 5)])).status == 0
    c.wait(Condition.endpoint_calls(2, 1, 100))
    c.open_gate(7)
    called = calling.result()
    assert called.version_calls[1] >= 100
    assert called.version_calls[2] >= 100
    assert (called.changes, called.backward, called.wrong) == (1, 0, 0)
    assert called.calls == sum(called.version_calls)
    c.close_gate(7)
    c.behave(Behave(2, 1, return_value=99, compute=True, compute_count=4, quiet=True))
    assert c.run(Call(Function.wrapper(wrapper), [1, 2, 3, 4, 5], repeat=3)).wrong == 3


def test_an_endpoint_waits_at_its_gate_for_as_many_as_pass(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO))
    c.behave(Behave(1, 1, gate_before=3))
    calls = [c.begin(Call(Function.wrapper(wrapper)), lane=lane) for lane in (1, 2)]
    c.wait(Condition.at_gate(3, 2), Condition.active(2), Condition.endpoint_inside(1, 1, 2))
    assert c.gate(3).waiting == 2
    c.pass_gate(3)
    c.wait(Condition.endpoint_inside(1, 1, 1))
    assert [call.done for call in calls].count(True) <= 1
    c.open_gate(3)
    assert [call.result().status for call in calls] == [0, 0]
    assert c.gate(3).passed == 2


def test_nested_calls_come_from_behaviours_and_stop_at_their_depth(conformance: ConformanceDriver) -> None:
    c = conformance
    [outer, inner] = ready(c, Endpoint(1, ECHO), Endpoint(2, Function.echo(1, 2)))
    nested = c.prepare(Call(Function.wrapper(inner), [5]))
    c.behave(Behave(1, 1, action=Action.PREPARED, prepared=nested.number))
    called = c.run(Call(Function.wrapper(outer)))
    assert (called.seen_endpoint, called.seen_calls) == (1, 1)
    _, reply = c.prepared(nested)
    assert reply is not None
    assert (reply.seen_endpoint, reply.seen[0], reply.thread_id) == (2, 5, called.thread_id)
    again = c.prepare(Call(Function.wrapper(outer)))
    c.behave(Behave(1, 1, action=Action.PREPARED, prepared=again.number, action_depth=4))
    before = c.endpoint(1, 1).calls
    c.run(Call(Function.wrapper(outer)))
    assert c.endpoint(1, 1).calls == before + 5


def test_one_prepared_request_runs_on_several_threads_at_once(conformance: ConformanceDriver) -> None:
    c = conformance
    [outer, inner] = ready(c, Endpoint(1, ECHO), Endpoint(2, Function.echo(1, 2)))
    nested = c.prepare(Call(Function.wrapper(inner)))
    c.behave(Behave(1, 1, action=Action.PREPARED, prepared=nested.number))
    c.behave(Behave(1, 2, gate_before=1))
    calls = [c.begin(Call(Function.wrapper(outer)), lane=lane) for lane in range(1, 5)]
    c.wait(Condition.at_gate(1, 4))
    with pytest.raises(GuestFault, match="BUSY"):
        c.prepare(LookupId(0, 1), number=nested.number)
    c.open_gate(1)
    assert [call.result().status for call in calls] == [0] * 4
    assert c.prepared(nested)[0].runs == 4


# Workers and events


def test_a_worker_is_told_of_by_what_its_routine_was_called_with(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, Function.routine(1)))
    created = c.run(CreateWorker(4, 0, Function.wrapper(wrapper), events=[7, 8], context=0x5678, guard=True))
    assert created.status == created.reference_status == 0
    assert created.real_thread_id == created.thread_id
    assert created.process_id == c.run(GetVersion()).process_id
    assert not created.start_written
    for event in (8, 7):
        done = c.worker(4).iterations
        assert c.set_event(event).previous_state == 0
        c.wait(Condition.iterations(4, done + 1))
    info = c.worker(4)
    assert (info.iterations, info.version_iterations) == (2, (0, 2, 0, 0, 0))
    assert (info.last_context, info.other_context, info.overlaps) == (0x5678, 0, 0)
    assert info.last_status[:2] == (0, 1)
    assert (info.thread_id, info.alive) == (created.thread_id, 1)
    c.behave(Behave(1, 0, return_value=0xFFFFFF00))
    assert c.run(JoinWorker(4, timeout_ms=20)).status == TIMEOUT
    assert c.run(ReleaseWorker(4)).status == DEVICE_BUSY
    c.set_event(7)
    assert c.run(JoinWorker(4)).status == 0
    assert c.run(CloseWorker(4)).status == 0
    assert c.run(ReleaseWorker(4)).status == 0
    assert not c.worker(4).exists


def test_return_values_change_after_so_many_calls(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, Function.routine(1)))
    c.behave(Behave(1, 0, return_value=1, return_limit=2, later_value=0))
    c.init_event(0, notification=True, signalled=True)
    c.run(CreateWorker(0, 0, Function.wrapper(wrapper), events=[0]))
    c.wait(Condition.ended(0))
    assert c.worker(0).iterations == 3


def test_events_are_set_and_cleared_by_endpoints_too(conformance: ConformanceDriver) -> None:
    c = conformance
    c.init_event(5, notification=True)
    c.set_event(6)
    c.behave(Behave(1, 1, set_event=5, clear_event=6))
    c.run(Call(ECHO))
    assert (c.event(5).previous_state, c.event(6).previous_state) == (1, 0)
    assert c.event(5).notification == 1
    assert c.clear_event(5).previous_state == 1
    c.wait(Condition.event(5, signalled=False))


# Waiting, batches, snapshots, trace


def test_started_requests_answer_later_and_lanes_count_them(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO))
    c.behave(Behave(1, 1, gate_before=2))
    first = c.start(Call(Function.wrapper(wrapper)), lane=5)
    second = c.start(Call(ECHO), lane=6)
    c.wait(Condition.at_gate(2, 2))
    assert c.prepared(first)[0].running == 1
    assert c.snapshot().lanes_busy == 1 << 5 | 1 << 6
    c.open_gate(2)
    c.wait(Condition.lane_done(5, first.sequence), Condition.lane_done(6, second.sequence))
    _, reply = c.prepared(first)
    assert reply is not None
    assert reply.seen_endpoint == 1


def test_a_snapshot_tells_of_a_swap_that_waits_for_calls_inside(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO))
    c.run(SetOptions(0, drain_timeout_ms=20_000))
    c.behave(Behave(1, 1, gate_before=2))
    c.start(Call(Function.wrapper(wrapper)), lane=5)
    c.wait(Condition.at_gate(2))
    assert (c.snapshot().counters.stalled_extensions, c.snapshot().lanes_draining) == (0, 0)
    swap = c.start(Register(0, [Endpoint(1, Function.echo(2, 1))]), lane=7)
    c.start(Call(Function.wrapper(wrapper)), lane=6)
    c.wait(Condition.held(1))
    state = c.snapshot()
    assert (state.counters.stalled_extensions, state.lanes_draining, state.torn) == (1, 1 << 7, 0)
    c.open_gate(2)
    c.wait(Condition.lane_done(7, swap.sequence))
    assert (c.snapshot().counters.stalled_extensions, c.snapshot().lanes_draining) == (0, 0)


def test_a_snapshot_says_so_when_the_state_changed_under_it(conformance: ConformanceDriver) -> None:
    c = conformance
    c.behave(Behave(1, 1, quiet=True))
    calls = [c.begin(Call(ECHO, stop_gate=2), lane=lane) for lane in (5, 6)]
    Deadline.after(10).wait_for(lambda: c.snapshot().torn == 1, "a reading that differs from the one before")
    c.open_gate(2)
    for call in calls:
        call.result()
    assert c.snapshot().torn == 0


def test_an_event_that_is_signalled_is_not_set_once_more(conformance: ConformanceDriver) -> None:
    c = conformance
    assert [c.run(SetEventOnce(3)).previous_state for _ in range(2)] == [0, 1]
    assert c.event(3).previous_state == 1
    with pytest.raises(GuestFault):
        c.run(SetEventOnce(1 << 20))


def test_a_wait_says_what_did_not_come(conformance: ConformanceDriver) -> None:
    waited = conformance.run(requests.Wait([Condition.active(0), Condition.at_gate(1)], 10))
    assert (int(waited.status), waited.unmet) == (TIMEOUT, 2)


def test_a_batch_answers_each_request(conformance: ConformanceDriver) -> None:
    items = conformance.batch([SetEvent(1), CreateExtension(0), LookupId(9, 1), SetEvent(1), requests.TakeSnapshot()])
    assert [item.status.succeeded for item in items] == [True, True, False, True, True]
    assert isinstance(items[-1].reply, replies.Snapshot)
    assert items[-1].reply.event_states[0] == 2
    assert items[3].reply.previous_state == 1


def test_calls_and_steps_of_the_runtime_are_traced(conformance: ConformanceDriver) -> None:
    c = conformance
    [wrapper] = ready(c, Endpoint(1, ECHO))
    c.run(SetOptions(0, verbose=True))
    c.trace()
    c.run(Call(Function.wrapper(wrapper)), lane=3)
    names = [event.name for event in c.trace()]
    order = ["RequestBegin", "ProxyCallEntering", "ProxyCallInside", "CallEnter", "CallExit", "ProxyCallReturned"]
    assert names == [*order, "ProxyCallLeft", "RequestEnd"]
    c.run(Register(0, [Endpoint(1, Function.echo(2, 1))], Callback()))
    swap = c.trace()
    assert [event["Phase"] for event in swap if event.name == "PhaseEnter"] == [0, 1, 2]
    ticks = [event.tick for event in swap]
    assert ticks == sorted(ticks)


def test_a_thread_stops_at_a_pause_point(conformance: ConformanceDriver) -> None:
    c = conformance
    arrived = c.paused().arrivals
    arm = c.pause_at("CallEnter", key=0x100 + 2)
    other = c.begin(Call(ECHO), lane=1)
    stopped = c.begin(Call(ECHO), lane=2)
    [paused] = c.paused(after=arrived).waiting
    assert (event_names()[paused.event], paused.key) == ("CallEnter", 0x102)
    assert other.result().seen_calls == 1
    assert not stopped.done
    c.let_go(arm, paused.thread_id)
    assert stopped.result().seen_calls == 1


# Failures, runtimes, helpers


def test_an_allocation_fails_when_it_is_told_to(conformance: ConformanceDriver) -> None:
    failed = conformance.run(CreateExtension(0, OWN_DRIVER, fail_allocation=1))
    assert failed.status == 0xC000009A
    assert failed.result.attempts == 1
    assert conformance.counters().proxy_allocations == 0
    assert conformance.run(CreateExtension(0, OWN_DRIVER, fail_allocation=99)).status == 0


def test_the_api_can_be_taken_away_until_a_reset(conformance: ConformanceDriver) -> None:
    c = conformance
    assert c.run(SetAvailability(False)).status == 0
    assert not c.run(Features()).flags & 1
    assert c.run(CreateExtension(0)).status == NOT_SUPPORTED
    c.reset()
    assert c.run(CreateExtension(0)).status == 0


def test_a_kernel_without_the_api_is_told_of_and_nothing_is_called(conformance: ConformanceDriver) -> None:
    c = conformance
    info = c.run(SelectRuntime(replies.Runtime.NATIVE))
    if info.native_status.succeeded:
        pytest.skip("this kernel has the API")
    try:
        if info.missing_mask:
            assert c.run(CreateExtension(0, OWN_DRIVER)).status == NOT_SUPPORTED
            assert c.run(LookupId(NONE, 1)).status == NOT_SUPPORTED
        assert c.run(requests.FailAllocation(1)).status == NOT_SUPPORTED
    finally:
        assert c.run(SelectRuntime(replies.Runtime.AUTO)).runtime is replies.Runtime.COMPAT
    c.run(CreateExtension(0))
    with pytest.raises(GuestFault, match="STATUS_INVALID_DEVICE_STATE"):
        c.run(SelectRuntime(replies.Runtime.COMPAT))


def test_a_helper_owns_an_extension_that_goes_with_it(conformance: ConformanceDriver) -> None:
    c = conformance
    loaded = c.run(LoadHelper(2))
    assert (loaded.status, loaded.loaded) == (0, 1)
    assert loaded.driver_size
    assert c.run(QueryHelper(2)).driver_object == loaded.driver_object
    assert c.run(CreateExtension(5, helper_driver(2))).status == 0
    assert c.run(FromDriver(helper_driver(2))).extension == 5
    assert c.run(UnloadHelper(2)).status == 0
    assert c.run(FromDriver(helper_driver(2))).pointer == 0
    assert c.counters().extensions == 0
    with pytest.raises(GuestFault, match="STATUS_NOT_FOUND"):
        c.run(DeleteExtension(5))


# Nonsense


WRONG = [
    LookupId(16, 1),
    LookupId(3, 1),
    LookupPointer(NONE, Function(FunctionKind.ECHO, 5, 0)),
    LookupPointer(NONE, Function(FunctionKind.ROUTINE, 0, 0)),
    LookupPointer(NONE, Function(FunctionKind.MIXED, 1, 16)),
    Call(Function.null()),
    Call(Function.wrapper(0)),
    Call(Function.wrapper(2000)),
    Call(Function.helper(0, 0x1000)),
    Call(ECHO, stop_gate=32),
    CreateExtension(16),
    CreateExtension(0, helper_driver(0)),
    CreateExtension(0, helper_driver(9)),
    CreateWorker(32, NONE),
    CreateWorker(0, NONE, events=[128]),
    CreateWorker(0, NONE, with_process=3),
    JoinWorker(0),
    ReleaseWorker(32),
    LoadHelper(4),
    LoadHelper(0, "..\\evil"),
    UnloadHelper(0),
    SetEvent(128),
    requests.QueryEvent(128),
    requests.SetGate(32),
    requests.QueryGate(32),
    requests.QueryWorker(32),
    requests.QueryHelper(4),
    requests.QueryPrepared(64),
    requests.QueryPrepared(63),
    requests.QueryEndpoint(0, 0),
    requests.QueryEndpoint(5, 0),
    Behave(5, 0),
    Behave(1, 16),
    Behave(gate_before=32),
    Behave(set_event=128),
    Behave(prepared=64),
    Register(NONE, [Endpoint(1, ECHO)], Callback(Phase(gate=32))),
    Register(NONE, [Endpoint(1, ECHO)], fill=5000),
    Register(NONE, [], fill=3),
    requests.Prepare(0, 0x12345678),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.method}")
def test_what_the_driver_does_not_have_is_refused_and_not_called(
    conformance: ConformanceDriver, wrong: Request[object]
) -> None:
    with pytest.raises(GuestFault, match=r"STATUS_(INVALID_PARAMETER|NOT_FOUND|OBJECT_NAME_INVALID)"):
        conformance.run(wrong)
    assert conformance.gone is None


def test_a_lane_that_there_is_not_is_refused(conformance: ConformanceDriver) -> None:
    with pytest.raises(GuestFault, match="STATUS_INVALID_PARAMETER"):
        conformance.run(Features(), lane=16)
    with pytest.raises(GuestFault, match="STATUS_INVALID_PARAMETER"):
        conformance.start(Features(), lane=16)


def test_every_length_but_the_right_one_is_refused(conformance: ConformanceDriver, build: DriverBuild) -> None:
    calls, names = [], []
    for ioctl in build.conformance.ioctls.values():
        wanted = ioctl.input.size if ioctl.input else 0
        for length in {0, 1, wanted - 1, wanted + 1, wanted + 8} - {wanted, -1}:
            if ioctl.method != "drain_trace":
                calls.append((ioctl.code, bytes(length), ioctl.output_size))
                names.append(f"{ioctl.method} with {length} of {wanted} bytes")
        if ioctl.output_size:
            calls.append((ioctl.code, bytes(wanted), ioctl.output_size - 1))
            names.append(f"{ioctl.method} with too small an output")
    outcomes = conformance.raw_batch(calls)
    accepted = [name for name, (status, _, _) in zip(names, outcomes, strict=True) if status in (0, 0x103)]
    assert not accepted
    assert len(outcomes) > 100


# Resets


def gate_call(c: ConformanceDriver) -> None:
    """Calls that wait at a gate, and others queued behind them."""
    [wrapper] = ready(c, Endpoint(1, ECHO))
    c.behave(Behave(1, 1, gate_before=1))
    for lane in (1, 2, 2, 2):
        c.begin(Call(Function.wrapper(wrapper)), lane=lane)
    c.start(Call(Function.wrapper(wrapper)), lane=2)
    c.wait(Condition.at_gate(1, 2))


def half_swap(c: ConformanceDriver) -> None:
    """A swap that stands in its second phase, a call held, and a second swap behind it."""
    [wrapper] = ready(c, Endpoint(1, ECHO))
    swap = Callback(proxy_stalled=Phase(gate=1))
    c.begin(Register(0, [Endpoint(1, Function.echo(2, 1))], swap), lane=1)
    c.wait(Condition.at_gate(1))
    c.begin(Register(0, [Endpoint(1, Function.echo(3, 1))], swap), lane=2)
    c.begin(Call(Function.wrapper(wrapper)), lane=3)
    c.wait(Condition.held())


def many_workers(c: ConformanceDriver) -> None:
    """Workers of all kinds: waiting, spinning, at a gate, without limit; both polarities."""
    [wrapper] = ready(c, Endpoint(1, Function.routine(1)))
    [other] = ready(c, Endpoint(1, Function.routine(2)), extension=1)
    c.run(SetOptions(1, true_ends_thread=True))
    c.behave(Behave(2, 0, return_value=0))
    c.init_event(9, notification=True, signalled=True)
    for worker in range(6):
        c.run(CreateWorker(worker, 0, Function.wrapper(wrapper), events=list(range(worker + 1)), wait_type=worker % 2))
    c.run(CreateWorker(7, 1, Function.wrapper(other), events=[9]))
    c.run(CreateWorker(8, 1, Function.wrapper(other), has_timeout=1, timeout=-10_000))
    c.wait(Condition.iterations(7, 3), Condition.iterations(8, 1))
    c.behave(Behave(2, 0, gate_after=3))
    c.wait(Condition.at_gate(3, 2))


def endless_call(c: ConformanceDriver) -> None:
    """A call that is repeated without end, and one that spins for a minute."""
    c.behave(Behave(1, 2, spin_microseconds=60_000_000, quiet=True))
    c.behave(Behave(1, 1, quiet=True))
    c.begin(Call(ECHO, stop_gate=3), lane=1)
    c.begin(Call(Function.echo(1, 2)), lane=2)
    c.wait(Condition.endpoint_calls(1, 1, 10), Condition.endpoint_inside(1, 2, 1))


def paused_threads(c: ConformanceDriver) -> None:
    """Threads at pause points, armed for every event."""
    seen = c.paused().arrivals
    c.pause_at("CallEnter", "CallExit")
    for lane in (1, 2, 3):
        c.begin(Call(ECHO), lane=lane)
    for arrived in range(3):
        c.paused(after=seen + arrived)


def recreated_worker(c: ConformanceDriver) -> None:
    """A worker whose thread a swap has replaced: the one that was made at its creation has ended."""
    [wrapper] = ready(c, Endpoint(1, Function.routine(1)))
    c.run(SetOptions(0, recreate_thread=True))
    c.run(CreateWorker(0, 0, Function.wrapper(wrapper), events=[0], context=0x77))
    c.run(Register(0, [Endpoint(1, Function.routine(2))]))
    c.wait(Condition.ended(0))
    c.set_event(0)
    c.wait(Condition.iterations(0, 1))


def helpers_and_failures(c: ConformanceDriver) -> None:
    """Helpers loaded, one of them an owner with a worker; failures armed; nothing available."""
    c.run(LoadHelper(0))
    c.run(LoadHelper(1, "conformance_owner_b"))
    c.run(CreateExtension(0, helper_driver(0)))
    c.run(Register(0, [Endpoint(1, Function.routine(1))]))
    wrapper = c.run(LookupId(0, 1)).wrapper
    c.run(CreateWorker(0, 0, Function.wrapper(wrapper)))
    c.run(requests.FailAllocation(5))
    c.run(SetAvailability(False, OWN_DRIVER))


MESSES = [gate_call, half_swap, many_workers, endless_call, paused_threads, recreated_worker, helpers_and_failures]


@pytest.mark.parametrize("mess", MESSES, ids=lambda mess: mess.__name__)
def test_a_reset_brings_it_back_from(conformance: ConformanceDriver, mess: Callable[[ConformanceDriver], None]) -> None:
    c = conformance
    mess(c)
    reply = c.reset()
    assert reply.status == 0
    assert (reply.stuck_lanes, reply.stuck_workers, reply.stuck_extensions, reply.stuck_helpers) == (0, 0, 0, 0)
    assert (reply.extensions, reply.wrappers, reply.proxy_threads, reply.proxy_allocations) == (0, 0, 0, 0)
    assert reply.allocations == 0
    state = c.snapshot()
    assert state.counters.threads == 0
    assert (state.workers_existing, state.lanes_busy, state.gates_open, set(state.event_states)) == (0, 0, 0, {0})
    assert (sum(state.endpoint_calls), sum(state.endpoint_inside), sum(state.gate_waiting)) == (0, 0, 0)
    assert c.paused().waiting == ()
    # And it works.
    [wrapper] = ready(c, Endpoint(1, ECHO))
    assert c.run(Call(Function.wrapper(wrapper), [3])).seen[0] == 3


def terminated_in_its_routine(c: ConformanceDriver) -> None:
    """A worker that ended its own thread: its call counts for good (W58)."""
    [wrapper] = ready(c, Endpoint(1, Function.routine(1)))
    c.behave(Behave(1, 0, action=Action.TERMINATE_THREAD))
    c.run(CreateWorker(0, 0, Function.wrapper(wrapper)))
    c.set_event(0)
    c.wait(Condition.ended(0))


def spend(machine: GuestMachine) -> None:
    with conformance_driver(machine) as c:
        terminated_in_its_routine(c)
        reply = c.reset(timeout_ms=100)
        assert not reply.status.succeeded
        assert (reply.stuck_extensions, reply.stuck_workers, reply.stuck_lanes) == (1, 0, 0)
        assert reply.extension_status == DEVICE_BUSY
        assert reply.active_calls == 1


def test_a_reset_says_what_does_not_go_and_the_guest_is_not_used_again(machine: GuestMachine) -> None:
    guest = machine.lab()
    with pytest.raises(GuestFault, match="left extensions 0 "):
        spend(machine)
    assert machine.lab() is not guest


def test_requests_in_flight_are_told_that_they_were_reset(conformance: ConformanceDriver) -> None:
    c = conformance
    c.behave(Behave(1, 1, gate_before=1))
    inside = c.begin(Call(ECHO), lane=1)
    behind = c.begin(Call(ECHO), lane=1)
    c.wait(Condition.at_gate(1))
    c.reset()
    assert inside.result().seen_calls == 1
    with pytest.raises((AgentError, GuestFault), match="CANCELLED"):
        behind.result()
