"""Pause points of the host driver: a thread stops at the trace event that was armed, and nobody else does."""

from __future__ import annotations

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.host_events import host_events
from hotswap.driver.host_replies import PauseState
from hotswap.errors import GuestFault
from hotswap.swap.lab import Lab
from hotswap.transport.agent import AgentError
from support.host_driver import iterations, load, signal, trace_of, worker_of

STEPS = ("ProxyWoken", "ProxyCallEntering", "ProxyCallInside", "ProxyCallReturned", "ProxyCallLeft")


def mask(*events: str) -> int:
    """The bits of these events."""
    names = list(host_events())
    return sum(1 << names.index(event) for event in events)


def name(state: PauseState, at: int = 0) -> str:
    """The event that a stopped thread has written."""
    return list(host_events())[state.waiting[at].event]


def test_the_nth_event_of_one_worker_stops_its_thread_once(lab: Lab, deadline: Deadline) -> None:
    device = lab.device
    quiet, watched = worker_of(lab, deadline), worker_of(lab, deadline)
    arm = device.pause_arm(mask("IterationBegin"), key=watched, nth=2, deadline=deadline).arm_id
    for times in (1, 2):
        signal(lab, quiet, deadline)
        iterations(lab, quiet, times, deadline)
    signal(lab, watched, deadline)
    iterations(lab, watched, 1, deadline)
    assert device.pause_query(deadline=deadline).waiting == ()
    signal(lab, watched, deadline)
    state = device.pause_wait(0, deadline=deadline)
    [paused] = state.waiting
    assert (name(state), paused.key, paused.arm_id, paused.arrival) == ("IterationBegin", watched, arm, 1)
    assert (state.arrivals, state.arms) == (1, 0)
    assert device.query_worker(watched, deadline=deadline).state == 1, "it is in its iteration"
    device.pause_release(arm, deadline=deadline)
    iterations(lab, watched, 2, deadline)
    signal(lab, watched, deadline)
    iterations(lab, watched, 3, deadline)


def test_what_is_armed_for_every_event_stops_each_thread_and_releases_the_one_that_was_named(
    lab: Lab, deadline: Deadline
) -> None:
    device = lab.device
    workers = [worker_of(lab, deadline) for _ in range(3)]
    arm = device.pause_arm(mask("IterationEnd"), deadline=deadline).arm_id
    for worker in workers:
        signal(lab, worker, deadline)
    for arrivals in range(len(workers)):
        state = device.pause_wait(arrivals, deadline=deadline)
    assert sorted(paused.key for paused in state.waiting) == workers
    assert [paused.arrival for paused in state.waiting] == [1, 2, 3]
    second = state.waiting[1]
    device.pause_release(thread_id=second.thread_id, deadline=deadline)
    iterations(lab, second.key, 1, deadline)
    left = device.pause_query(deadline=deadline)
    assert sorted(paused.key for paused in left.waiting) == sorted(set(workers) - {second.key})
    signal(lab, second.key, deadline)
    assert device.pause_wait(3, deadline=deadline).waiting_count == 3, f"arm {arm} stays armed"
    cleared = device.pause_clear(deadline=deadline)
    assert cleared.arms == 0
    for worker in workers:
        iterations(lab, worker, 2 if worker == second.key else 1, deadline)


def test_the_event_is_in_the_trace_before_its_thread_stops(lab: Lab, deadline: Deadline) -> None:
    worker = worker_of(lab, deadline)
    lab.device.pause_arm(mask("IterationBegin"), nth=1, deadline=deadline)
    signal(lab, worker, deadline)
    thread = lab.device.pause_wait(0, deadline=deadline).waiting[0].thread_id
    lab.device.signal_event(worker, 0, deadline=deadline)
    lab.device.pause_release(deadline=deadline)
    iterations(lab, worker, 2, deadline)
    events = trace_of(lab).events
    begin = events.events("IterationBegin").rows[0]
    second_signal = events.events("SignalBegin").rows[1]
    first_end = events.events("IterationEnd").rows[0]
    assert begin < second_signal < first_end
    assert events.tid[begin] == thread


def test_a_request_that_runs_at_once_is_never_stopped(lab: Lab, deadline: Deadline) -> None:
    worker = worker_of(lab, deadline)
    lab.device.pause_arm(mask("SignalBegin", "SignalEnd"), deadline=deadline)
    signal(lab, worker, deadline)
    iterations(lab, worker, 1, deadline)
    assert lab.device.pause_query(deadline=deadline).arrivals == 0


def test_a_stopped_swap_goes_on_when_it_is_released(lab: Lab, deadline: Deadline) -> None:
    assert load(lab, "hotswap_v1", deadline).status == 0
    worker = worker_of(lab, deadline)
    lab.device.pause_arm(mask("SwapSwitched"), nth=1, deadline=deadline)
    swap = lab.device.begin("update", service_name="hotswap_v2", deadline=deadline)
    assert name(lab.device.pause_wait(0, deadline=deadline)) == "SwapSwitched"
    signal(lab, worker, deadline)
    assert not swap.done
    assert lab.device.query_worker(worker, deadline=deadline).iterations == 0, "its call is held"
    lab.device.pause_clear(deadline=deadline)
    reply = swap.result(deadline)
    assert (reply.status, reply.to_version) == (0, 2)
    assert [count.version for count in iterations(lab, worker, 1, deadline).versions] == [2]


def test_fine_steps_are_events_when_they_were_asked_for(lab: Lab, deadline: Deadline) -> None:
    lab.device.configure(runtime="compat", verbose=1, deadline=deadline)
    worker = worker_of(lab, deadline)
    arm = lab.device.pause_arm(mask(*STEPS), key=worker, deadline=deadline).arm_id
    signal(lab, worker, deadline)
    seen = []
    # A call goes through the wrapper of the host's endpoint, and from there through that of the endpoint driver.
    for arrivals in range(9):
        state = lab.device.pause_wait(arrivals, deadline=deadline)
        seen.append(name(state))
        lab.device.pause_release(arm, deadline=deadline)
    iterations(lab, worker, 1, deadline)
    enter, leave = list(STEPS[1:3]), list(STEPS[3:])
    assert seen == [STEPS[0], *enter, *enter, *leave, *leave]


def test_without_being_asked_for_no_fine_step_is_in_the_trace(lab: Lab, deadline: Deadline) -> None:
    worker = worker_of(lab, deadline)
    signal(lab, worker, deadline)
    iterations(lab, worker, 1, deadline)
    assert not {kind.name for kind in trace_of(lab).events.kinds} & set(STEPS)


def test_a_wait_can_be_cancelled_and_the_shutdown_lets_all_go(lab: Lab, deadline: Deadline) -> None:
    worker = worker_of(lab, deadline)
    waiting = lab.device.begin("pause_wait", arrivals=0, deadline=deadline)
    assert waiting.cancel(deadline=deadline)
    with pytest.raises(GuestFault):
        waiting.result(deadline)
    lab.device.pause_arm(mask("IterationBegin"), deadline=deadline)
    signal(lab, worker, deadline)
    assert lab.device.pause_wait(0, deadline=deadline).waiting_count == 1
    assert lab.shutdown(deadline=deadline).workers == 0


@pytest.mark.parametrize("wrong", [0, 1 << 63])
def test_what_is_no_event_cannot_be_armed(lab: Lab, deadline: Deadline, wrong: int) -> None:
    with pytest.raises(AgentError, match="STATUS_INVALID_PARAMETER"):
        lab.device.pause_arm(wrong, deadline=deadline)
