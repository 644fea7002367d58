"""A thread that an endpoint driver leaves behind is let go and joined by the host when that unloads."""

from __future__ import annotations

from collections.abc import Callable

from hotswap.deadline import Deadline
from hotswap.machine.wine import WineMachine
from hotswap.swap.lab import Lab
from support.host_driver import load, turn, worker_of


def test_a_thread_left_behind_outlives_its_driver_and_is_joined_when_the_host_unloads(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    machine, host = lab.machine, lab.host
    assert isinstance(machine, WineMachine)
    assert host is not None
    load(lab, endpoint("leak-thread"), deadline)
    workers = [worker_of(lab, deadline) for _ in range(2)]
    turn(lab, workers[1], deadline)
    host_pid = host.process.pid
    before = len(machine.task_ids(host_pid))
    turn(lab, workers[0], deadline)
    deadline.wait_for(lambda: len(machine.task_ids(host_pid)) == before + 1, "the thread that is left behind")
    load(lab, "hotswap_v1", deadline)
    turn(lab, workers[0], deadline)
    held = lab.device.query_counters(deadline=deadline)
    assert (held.threads, held.references, held.allocations) == (2, 2, 2), "none of it is the host's"
    left = lab.shutdown(deadline=deadline)
    assert (left.threads, left.references, left.allocations, left.endpoint_drivers) == (0, 0, 0, 0)
    # The workers are gone; what the endpoint driver left is not.
    deadline.wait_for(lambda: len(machine.task_ids(host_pid)) == before + 1 - 2, "both workers to end")
    assert host.alive
    closed = lab.close()
    assert closed.faults == ()
    maps = lab.snapshot("after the stop", 0, host_loaded=False, deadline=deadline).maps
    assert maps is not None
    assert "hotswap.sys" not in maps
    # Workers, lanes, and what was left behind; or all of it, for the driver host may end with its last driver.
    deadline.wait_for(lambda: len(machine.task_ids(host_pid)) <= before - 4, "the thread that was left behind to end")
