"""What the host does wrong when it is told to, and that it does nothing else wrong."""

from __future__ import annotations

import pytest

from hotswap.deadline import Deadline
from hotswap.errors import GuestFault
from hotswap.swap.lab import Lab
from hotswap.testing.guest import GuestMachine
from support.host_driver import load, trace_of, turn, worker_of

OLD_CALL, KEEP_IMAGE = 1, 2


def test_an_old_call_is_one_iteration_of_the_old_version_after_each_swap(lab: Lab, deadline: Deadline) -> None:
    lab.device.configure(host_fault=OLD_CALL, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    workers = [worker_of(lab, deadline) for _ in range(4)]
    load_id = lab.device.start_load(
        threads=1,
        rate_per_second=500,
        targets=[{"worker_id": worker, "event_index": 0} for worker in workers],
        deadline=deadline,
    ).load_id
    replies = [load(lab, service, deadline) for service in ("hotswap_v2", "hotswap_v1")]
    assert [(reply.status, reply.to_version, reply.unload_status) for reply in replies] == [(0, 2, 0), (0, 1, 0)]
    lab.device.stop_load(load_id=load_id, deadline=deadline)
    stopped = {worker: lab.device.stop_worker(worker_id=worker, deadline=deadline) for worker in workers}
    events = trace_of(lab).events
    begins, ends, works = (events.events(name) for name in ("IterationBegin", "IterationEnd", "EndpointWork"))
    switched, unloaded = events.events("SwapSwitched"), events.events("EndpointUnloaded")
    for swap, old, new in ((2, 1, 2), (3, 2, 1)):
        switch = int(switched.tick[switched["Swap"] == swap][0])
        gone = int(unloaded.tick[(unloaded["Version"] == old) & (unloaded.tick > switch)][0])
        late = (begins.tick > switch) & (begins.tick < gone) & (begins["Version"] == old)
        assert late.sum() == 1, f"one iteration of version {old} after the switch to {new}"
        who = (int(begins["Worker"][late][0]), int(begins["Iteration"][late][0]))
        (work,) = (works["Worker"] == who[0]).nonzero()[0][works["Iteration"][works["Worker"] == who[0]] == who[1]]
        assert (works["Version"][work], works.tid[work]) == (old, begins.tid[late][0])
        assert works.tick[work] < gone, "its image was there"
    for worker in workers:
        mine = begins["Worker"] == worker
        assert begins["Iteration"][mine].tolist() == list(range(1, stopped[worker].iterations + 1))
        assert begins["Version"][mine].tolist() == ends["Version"][ends["Worker"] == worker].tolist()
        assert works["Iteration"][works["Worker"] == worker].tolist() == begins["Iteration"][mine].tolist()
        assert len({*begins.tid[mine].tolist()}) == 1, "on its own thread"


def test_an_old_call_that_no_wakeup_asks_for_is_not_made_and_the_update_ends(lab: Lab, deadline: Deadline) -> None:
    lab.device.configure(host_fault=OLD_CALL, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    reply = load(lab, "hotswap_v2", deadline)
    assert (reply.status, reply.unload_status) == (0, 0)
    assert 1.9 < (reply.unloaded - reply.post_process) / lab.device.get_version(deadline=deadline).tick_frequency < 4
    turn(lab, worker, deadline)
    info = lab.device.query_worker(worker_id=worker, deadline=deadline)
    assert [(item.version, item.iterations) for item in info.versions] == [(2, 1)]


def test_a_kept_image_stays_though_the_host_says_nothing_of_it(
    lab: Lab, machine: GuestMachine, deadline: Deadline
) -> None:
    lab.device.configure(host_fault=KEEP_IMAGE, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    reply = load(lab, "hotswap_v2", deadline)
    assert (reply.status, reply.to_version, reply.unload_status) == (0, 2, 0)
    seen = lab.snapshot("after the swap", 2, host_loaded=True, deadline=deadline)
    assert seen.maps is not None
    assert {"hotswap_v1.sys", "hotswap_v2.sys"} <= seen.maps
    assert lab.device.query_counters(deadline=deadline).endpoint_drivers == 1
    unloaded = trace_of(lab).events.events("EndpointUnloaded")
    assert unloaded["Version"].tolist() == [2], "at the shutdown; nothing of version 1"
    machine.discard("version 1 is never unloaded in it")


@pytest.mark.parametrize("fields", [{"host_fault": 5}, {"verbose": 2}])
def test_a_fault_that_there_is_not_is_refused(lab: Lab, deadline: Deadline, fields: dict[str, int]) -> None:
    with pytest.raises(GuestFault, match="INVALID_PARAMETER"):
        lab.device.call("configure", **fields, deadline=deadline)


def test_a_link_that_is_kept_is_in_the_object_manager_after_the_stop(
    lab: Lab, machine: GuestMachine, deadline: Deadline
) -> None:
    lab.device.configure(host_fault="keep-link", deadline=deadline)
    trace_of(lab)
    seen = lab.snapshot("after the stop", "", host_loaded=False, deadline=deadline)
    assert seen.objects == {"\\GLOBAL??\\HotSwap"}
    machine.discard("the next start finds the link")


def test_an_extension_that_is_kept_is_counted_at_the_stop(lab: Lab, deadline: Deadline) -> None:
    lab.device.configure(host_fault="keep-extension", deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    stop = trace_of(lab).events.events("HostStop")
    assert stop["ProxyExtensions"].tolist() == [1]
