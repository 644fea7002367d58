"""The further endpoint drivers, each seen doing what it is there for, and the host's services that they use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import GuestFault, HotswapError
from hotswap.swap.lab import Lab
from hotswap.trace.etl import EtlFile
from support.host_driver import ENDED, RUNNING, held_once, iterations, load, signal, trace_of, turn, worker_of

Endpoint = Callable[[str], str]
PLAIN = 3


def turns_in(lab: Lab, service: str, times: int, deadline: Deadline) -> EtlFile:
    """One iteration of two workers in version 1, `times` of each in the update, and the trace."""
    load(lab, "hotswap_v1", deadline)
    workers = [worker_of(lab, deadline, event_count=2) for _ in range(2)]
    for worker in workers:
        turn(lab, worker, deadline)
    assert load(lab, service, deadline).status == 0
    for worker in workers:
        turn(lab, worker, deadline, times)
    return trace_of(lab)


def columns(events: Any, *names: str) -> list[tuple[int, ...]]:
    """Some payload columns as rows."""
    return list(zip(*(events[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize("name", ["v3", "wrong-version", "wrong-status", "skips-work", "twice", "self-signal"])
def test_an_update_runs_like_any_other_but_for_what_is_broken(
    lab: Lab, endpoint: Endpoint, deadline: Deadline, name: str
) -> None:
    events = turns_in(lab, endpoint(name), 17, deadline).events
    begins, works = events.events("IterationBegin"), events.events("EndpointWork")
    version = 3 if name == "v3" else 2
    assert {*begins["Version"].tolist()} == {1, version}
    fields = ("Worker", "Iteration", "Version", "WaitStatus")
    ran = [row for row in columns(begins, *fields) if row[2] == version]
    said = {"wrong-version": 9}.get(name, version)
    more = {"wrong-status": 1}.get(name, 0)
    wanted = [(worker, iteration, said, status + more) for worker, iteration, _, status in ran]
    if name == "skips-work":
        wanted = [row for row in wanted if row[1] % 4]
        assert len(wanted) < len(ran)
    if name == "twice":
        wanted = [row for row in wanted for _ in range(2)]
    worked = [row for row in columns(works, *fields) if row[2] == said]
    assert sorted(worked) == sorted(wanted)
    # Every iteration has its signal, but for those that nobody sees.
    ends = events.events("SignalEnd")
    accepted = ends["Worker"][ends["PreviousState"] == 0]
    unseen = [int((begins["Worker"] == worker).sum() - (accepted == worker).sum()) for worker in (1, 2)]
    assert unseen[1] == 0
    assert (unseen[0] > 0) is (name == "self-signal")


@pytest.mark.parametrize(
    ("name", "status", "rolled_back"),
    [
        ("wrong-parameters", "STATUS_INVALID_PARAMETER_3", 0),  # R9
        ("refuse-pre-process", "STATUS_DEVICE_NOT_READY", 0),  # R23
        ("refuse-proxy-stalled", "STATUS_DEVICE_NOT_READY", 1),  # R24
        ("refuse-post-process", "STATUS_DEVICE_NOT_READY", 1),  # R25
    ],
)
def test_a_refused_update_leaves_the_old_version_in_force_and_no_image(
    lab: Lab, endpoint: Endpoint, deadline: Deadline, name: str, status: str, rolled_back: int
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    reply = load(lab, endpoint(name), deadline)
    assert status in str(reply.status)
    assert (reply.from_version, reply.to_version) == (1, 1)
    assert (reply.rolled_back, reply.unload_status) == (rolled_back, 0)
    assert lab.device.query_counters(deadline=deadline).endpoint_drivers == 1
    turn(lab, worker, deadline)
    info = lab.device.query_worker(worker_id=worker, deadline=deadline)
    assert [(item.version, item.iterations) for item in info.versions] == [(1, 1)]
    assert load(lab, "hotswap_v2", deadline).to_version == 2, "the next one is taken"


@pytest.mark.parametrize("runtime", [0, PLAIN])
def test_wrong_parameters_are_refused_for_a_first_update_as_well(  # R9
    lab: Lab, endpoint: Endpoint, deadline: Deadline, runtime: int
) -> None:
    lab.device.configure(runtime=runtime, deadline=deadline)
    reply = load(lab, endpoint("wrong-parameters"), deadline)
    assert "STATUS_INVALID_PARAMETER_3" in str(reply.status)
    assert (reply.to_version, lab.device.query_counters(deadline=deadline).endpoint_drivers) == (0, 0)
    assert load(lab, "hotswap_v1", deadline).to_version == 1


def test_lost_wakeups_are_signals_without_an_iteration(lab: Lab, endpoint: Endpoint, deadline: Deadline) -> None:
    load(lab, endpoint("lose-wakeup"), deadline)
    worker = worker_of(lab, deadline, event_count=2, work_microseconds=300_000)
    signal(lab, worker, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == RUNNING, "the iteration"
    )
    signal(lab, worker, deadline, event=1)
    iterations(lab, worker, 1, deadline)
    stopped = lab.device.stop_worker(worker_id=worker, deadline=deadline)
    ends = trace_of(lab).events.events("SignalEnd")
    accepted = int((ends["PreviousState"] == 0).sum())
    assert (accepted, stopped.iterations, stopped.final_state_mask) == (3, 2, 0), "one made no iteration and is gone"


def test_a_worker_that_is_ended_by_its_routine_ends_in_the_third_iteration_of_the_version(
    lab: Lab, endpoint: Endpoint, deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    first, second = worker_of(lab, deadline), worker_of(lab, deadline)
    turn(lab, first, deadline, 2)
    load(lab, endpoint("ends-worker"), deadline)
    turn(lab, second, deadline, 4)
    turn(lab, first, deadline, 3)
    assert lab.device.query_worker(worker_id=first, deadline=deadline).state == ENDED
    assert lab.device.stop_worker(worker_id=first, deadline=deadline).status == 0
    events = trace_of(lab).events
    ends, gone, stop = (events.events(name) for name in ("IterationEnd", "WorkerThreadEnd", "WorkerStop"))
    mine = ends["Worker"] == first
    assert ends["Continue"][mine].tolist() == [1, 1, 1, 1, 0]
    assert gone.tick[gone["Worker"] == first][0] < stop.tick[stop["Worker"] == first][0], "before it was stopped"
    assert (ends["Worker"] == second).sum() == 5


def test_a_restart_update_does_not_revive_a_worker_that_its_routine_has_ended(
    lab: Lab, endpoint: Endpoint, deadline: Deadline
) -> None:
    lab.device.configure(runtime="plain", deadline=deadline)
    load(lab, endpoint("ends-worker"), deadline)
    first, second = worker_of(lab, deadline), worker_of(lab, deadline)
    turn(lab, first, deadline, 3)
    assert load(lab, "hotswap_v1", deadline).status == 0
    turn(lab, second, deadline, 1)
    signal(lab, first, deadline)
    assert lab.device.query_worker(worker_id=first, deadline=deadline).state == ENDED
    events = trace_of(lab).events
    starts = events.events("WorkerThreadStart")["Worker"].tolist()
    assert (starts.count(first), starts.count(second)) == (1, 2)
    assert (events.events("IterationBegin")["Worker"] == first).sum() == 3


def test_a_corrupt_context_leaves_a_gap_in_the_iterations_of_worker_1(
    lab: Lab, endpoint: Endpoint, deadline: Deadline
) -> None:
    begins = turns_in(lab, endpoint("corrupt-context"), 3, deadline).events.events("IterationBegin")
    assert begins["Iteration"][begins["Worker"] == 1].tolist() == [1, 2, 4, 5, 6]
    assert begins["Iteration"][begins["Worker"] == 2].tolist() == [1, 2, 3, 4, 5]


def test_a_worker_that_never_returns_keeps_an_update_out_and_returns_when_it_is_stopped(  # R12, Released
    lab: Lab, endpoint: Endpoint, deadline: Deadline
) -> None:
    load(lab, endpoint("never-returns"), deadline)
    first, second = worker_of(lab, deadline), worker_of(lab, deadline)
    turn(lab, second, deadline, 2)
    signal(lab, first, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=first, deadline=deadline).state == RUNNING, "the iteration that stays"
    )
    reply = lab.device.update(service_name="hotswap_v1", drain_timeout_ms=100, deadline=deadline)
    assert "STATUS_UNSUCCESSFUL" in str(reply.status)
    assert reply.rolled_back == 1
    stopped = lab.device.stop_worker(worker_id=first, deadline=deadline)
    assert (stopped.status, stopped.iterations) == (0, 1)
    assert load(lab, "hotswap_v1", deadline).to_version == 1


def test_a_slow_drain_keeps_an_update_waiting_for_one_and_a_half_seconds(
    lab: Lab, endpoint: Endpoint, deadline: Deadline
) -> None:
    load(lab, endpoint("slow-drain"), deadline)
    first, second = worker_of(lab, deadline), worker_of(lab, deadline)
    turn(lab, second, deadline)
    signal(lab, first, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=first, deadline=deadline).state == RUNNING, "the iteration that stays"
    )
    update = lab.device.begin("update", service_name="hotswap_v1", deadline=deadline)
    held_once(lab, second, deadline)
    reply = update.result(deadline)
    seconds = (reply.drained - reply.stalled) / lab.device.get_version(deadline=deadline).tick_frequency
    assert (reply.status, reply.to_version) == (0, 1)
    assert 1.4 < seconds < 4


@pytest.mark.parametrize(("name", "milliseconds"), [("v3", 50), ("slow-callback", 1500)])
def test_a_callback_that_takes_its_time_holds_calls_for_as_long(
    lab: Lab, endpoint: Endpoint, deadline: Deadline, name: str, milliseconds: int
) -> None:
    load(lab, "hotswap_v1", deadline)
    reply = load(lab, endpoint(name), deadline)
    frequency = lab.device.get_version(deadline=deadline).tick_frequency
    took = (reply.switched - reply.drained) * 1000 / frequency
    # Less one clock tick.
    assert milliseconds - 16 < took < milliseconds + 1000


def test_a_crash_takes_the_guest_down_in_the_first_iteration(lab: Lab, endpoint: Endpoint, deadline: Deadline) -> None:
    load(lab, endpoint("crash"), deadline)
    worker = worker_of(lab, deadline)
    host = lab.host
    assert host is not None
    assert host.alive
    with suppress(GuestFault):
        signal(lab, worker, deadline)
    deadline.wait_for(lambda: not host.alive, "the driver host to die")
    host.close()
    lab.host = None
    with suppress(HotswapError):
        lab.device.close()
