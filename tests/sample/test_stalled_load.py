"""A load that signals once per swap while calls are held and none is inside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import GuestFault
from hotswap.swap.lab import Lab
from support.host_driver import load, trace_of, worker_of

WHILE_STALLED = 1
COMPAT, PLAIN = 2, 3


def taken(lab: Lab, worker: int, deadline: Deadline) -> None:
    """Wait until an iteration has taken the signal of event 1."""
    deadline.wait_for(
        lambda: not lab.device.query_event(worker_id=worker, event_index=1, deadline=deadline).previous_state,
        f"an iteration of worker {worker}",
        interval=0.002,
    )


@pytest.mark.parametrize("runtime", [COMPAT, PLAIN])
def test_each_target_is_signalled_once_per_swap_while_no_call_is_inside(
    lab: Lab, deadline: Deadline, runtime: int
) -> None:
    lab.device.configure(runtime=runtime, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    workers = [worker_of(lab, deadline, event_count=2) for _ in range(3)]
    load_id = lab.device.start_load(
        flags=WHILE_STALLED,
        targets=[{"worker_id": worker, "event_index": 1} for worker in workers],
        deadline=deadline,
    ).load_id
    for service in ("hotswap_v2", "hotswap_v1"):
        load(lab, service, deadline)
        for worker in workers:
            taken(lab, worker, deadline)
    stopped = lab.device.stop_load(load_id=load_id, deadline=deadline)
    assert (stopped.status, stopped.signals, stopped.accepted) == (0, 6, 6)
    load(lab, "hotswap_v2", deadline)
    events = trace_of(lab).events
    signals = events.events("SignalEnd")
    mine = signals["Source"] == 1
    assert signals["Worker"][mine].tolist() == workers * 2, "none after the load was stopped"
    assert (signals["EventIndex"][mine] == 1).all()
    drained, switched = (events.events(f"Swap{step}") for step in ("Drained", "Switched"))
    for number, swap in enumerate((2, 3)):
        ticks = signals.tick[mine][3 * number : 3 * number + 3]
        assert drained.tick[drained["Swap"] == swap][0] < ticks.min()
        assert ticks.max() < switched.tick[switched["Swap"] == swap][0]
        assert {*signals.tid[mine].tolist()} == {*drained.tid.tolist()[:1]}, "on the swapping thread"


def test_a_swap_that_is_rolled_back_after_a_second_stall_signals_once(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    load_id = lab.device.start_load(
        flags=WHILE_STALLED, targets=[{"worker_id": worker, "event_index": 0}], deadline=deadline
    ).load_id
    assert "STATUS_DEVICE_NOT_READY" in str(load(lab, endpoint("refuse-post-process"), deadline).status)
    assert lab.device.stop_load(load_id=load_id, deadline=deadline).signals == 1
    drained = trace_of(lab).events.events("SwapDrained")
    assert (drained["Swap"] == 2).sum() == 2, "it was drained twice"


def test_a_swap_that_does_not_drain_signals_nothing(lab: Lab, deadline: Deadline) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline, event_count=2, work_microseconds=400_000)
    load_id = lab.device.start_load(
        flags=WHILE_STALLED, targets=[{"worker_id": worker, "event_index": 1}], deadline=deadline
    ).load_id
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the long iteration"
    )
    reply = lab.device.update(service_name="hotswap_v2", drain_timeout_ms=50, deadline=deadline)
    assert reply.rolled_back == 1
    assert lab.device.stop_load(load_id=load_id, deadline=deadline).signals == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": WHILE_STALLED, "threads": 1},
        {"flags": WHILE_STALLED, "rate_per_second": 1},
        {"flags": WHILE_STALLED, "signal_limit": 1},
        {"flags": 2},
        {"flags": 3},
        {"flags": 2, "threads": 1},
        {"flags": 0},
        {"flags": 0, "threads": 9},
    ],
)
def test_a_load_that_contradicts_its_flags_is_refused(lab: Lab, deadline: Deadline, fields: dict[str, int]) -> None:
    worker = worker_of(lab, deadline)
    with pytest.raises(GuestFault, match="INVALID_PARAMETER"):
        lab.device.start_load(**fields, targets=[{"worker_id": worker, "event_index": 0}], deadline=deadline)
    assert lab.device.query_counters(deadline=deadline).allocations == 1, "the worker's"


def test_a_load_while_stalled_needs_a_target_that_is_there(lab: Lab, deadline: Deadline) -> None:
    worker = worker_of(lab, deadline)
    with pytest.raises(GuestFault, match="INVALID_PARAMETER"):
        lab.device.start_load(flags=WHILE_STALLED, targets=[], deadline=deadline)
    with pytest.raises(GuestFault, match="INVALID_PARAMETER"):
        lab.device.start_load(flags=WHILE_STALLED, targets=[{"worker_id": worker, "event_index": 1}], deadline=deadline)
    with pytest.raises(GuestFault):
        lab.device.start_load(flags=WHILE_STALLED, targets=[{"worker_id": 9, "event_index": 0}], deadline=deadline)
