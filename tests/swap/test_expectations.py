"""Each expectation passes a good run, and catches the mutation made for it."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable

import pytest

from hotswap.swap.expectations import SWAP_EXPECTATIONS, evaluate
from hotswap.swap.swap_trace import FIELDS, PROVIDER_GUID, PROVIDER_NAME
from hotswap.swap.witnesses import WAIT_ALL, WAIT_ANY, RingStats, ThreadCounts, WorkerDefinition
from hotswap.trace.expect import ExpectationResult, Verdict, combine, format_slice, reason
from support.event_list import host_events, provider_guid_bytes, provider_name
from support.swap_trace import CONTROL, Event, Run, Simulation, good_run

Mutation = Callable[[Run], None]
FAILS: list[tuple[str, str, Mutation, frozenset[str]]] = []
OPEN: list[tuple[str, str, Mutation]] = []


def fails(expectation: str, *companions: str, text: str = "") -> Callable[[Mutation], Mutation]:
    """The mutation must make this expectation fail, with `text` in its message, and no other than the companions."""

    def register(mutation: Mutation) -> Mutation:
        FAILS.append((expectation, text, mutation, frozenset(companions)))
        return mutation

    return register


def open_question(expectation: str, text: str = "") -> Callable[[Mutation], Mutation]:
    """The mutation must make this expectation inconclusive, and nothing fail."""

    def register(mutation: Mutation) -> Mutation:
        OPEN.append((expectation, text, mutation))
        return mutation

    return register


# ---- the driver host, updates, operations ----


@fails("driver-host-alive", text="signal 9")
def host_died(run: Run) -> None:
    run.witness(driver_host_alive=False, driver_host_end="killed by signal 9")


@open_question("driver-host-alive")
def host_not_watched(run: Run) -> None:
    run.witness(driver_host_alive=None)


def _reply(run: Run, **changes: object) -> None:
    assert run.witnesses.updates
    first, second, *rest = run.witnesses.updates
    run.witness(updates=(first, dataclasses.replace(second, **changes), *rest))


U = "updates-succeed-or-roll-back"


@fails(U, text="left version 2 in force")
def update_failed_and_left_the_new_version(run: Run) -> None:
    _reply(run, status=0xC0000001)


@fails(U, text="was rolled back, and the reply says success")
def update_rolled_back_with_success(run: Run) -> None:
    _reply(run, rolled_back=True)


@fails(U, text="unloading the old image")
def unload_failed(run: Run) -> None:
    _reply(run, unload_status=0xC0000001)


@fails(U, text="0->1, 1->3, 2->1")
def update_to_another_version(run: Run) -> None:
    _reply(run, to_version=3)


@fails(U, text="the first endpoint driver did not come into force: STATUS_NOT_FOUND")
def first_driver_refused(run: Run) -> None:
    assert run.witnesses.updates
    first, *rest = run.witnesses.updates
    run.witness(updates=(dataclasses.replace(first, status=0xC0000225, to_version=0), *rest))


@open_question(U)
def updates_not_known(run: Run) -> None:
    run.witness(updates=None)


@fails("operations-succeed", text="did not stop (and 1 more)")
def operation_failed(run: Run) -> None:
    run.witness(guest_faults=("worker 3 did not stop", "worker 4 did not stop"))


# ---- evidence ----


@open_question("evidence-complete", "dropped 5")
def ring_dropped(run: Run) -> None:
    run.keep_ring = True
    run.witness(ring=RingStats(len(run.events), 5, len(run.events)))


@open_question("evidence-complete", "not drained to its end")
def ring_not_drained(run: Run) -> None:
    run.keep_ring = True
    run.witness(ring=RingStats(len(run.events) + 3, 0, len(run.events)))


@open_question("evidence-complete", "the file holds")
def drained_events_not_in_file(run: Run) -> None:
    run.keep_ring = True
    run.witness(ring=RingStats(len(run.events) + 3, 0, len(run.events) + 3))


@open_question("evidence-complete", "not known whether the trace ring")
def ring_not_asked(run: Run) -> None:
    run.keep_ring = True
    run.witness(ring=None)


@open_question("evidence-complete", "host driver counts 4")
def host_counts_drops(run: Run) -> None:
    run.first("HostStop").fields["EventsDropped"] = 4


@open_question("evidence-complete", "7 events lost")
def file_lost_events(run: Run) -> None:
    run.session = dataclasses.replace(run.session, events_lost=7)


@open_question("evidence-complete", "sequence")
def file_has_a_gap(run: Run) -> None:
    run.session = dataclasses.replace(run.session, gap_before=2)


@open_question("evidence-complete", "flagged")
def file_flags_a_loss(run: Run) -> None:
    run.session = dataclasses.replace(run.session, lost_flag=0x02)


@open_question("evidence-complete", "was not stopped")
def file_not_closed(run: Run) -> None:
    run.session = dataclasses.replace(run.session, closed=False)


@open_question("evidence-complete", "stopping the trace failed")
def trace_not_stopped(run: Run) -> None:
    run.witness(trace_stop_error="ERROR_DISK_FULL (112)")


@open_question("evidence-complete", "no HostStart")
def no_host_start(run: Run) -> None:
    run.remove(run.first("HostStart"))


@open_question("evidence-complete", "no HostStop")
def no_host_stop(run: Run) -> None:
    run.remove(run.first("HostStop"))


@open_question("evidence-complete", "no event of HotSwap.Host")
def no_driver_events(run: Run) -> None:
    run.events = []


@open_question("evidence-complete", "1 SignalBegin without SignalEnd")
def signal_without_end(run: Run) -> None:
    run.remove(run.find("SignalEnd", Worker=1)[5])
    run.recount()


@open_question("evidence-complete", "1 SignalEnd without SignalBegin")
def signal_without_begin(run: Run) -> None:
    run.remove(run.find("SignalBegin", Worker=1)[5])


@open_question("evidence-complete", "dropped")
def everything_wrong_but_events_dropped(run: Run) -> None:
    """Without complete evidence nothing drawn from the trace is a failure."""
    run.keep_ring = True
    for event in run.events[100:400]:
        run.remove(event)
    run.witness(ring=RingStats(len(run.events), 300, len(run.events)))


# ---- workers and threads ----


@fails("workers-as-asked", text="another start context")
def worker_with_another_timeout(run: Run) -> None:
    run.first("WorkerCreate", Worker=3).fields["Timeout"] = -5


@fails("workers-as-asked", "worker-threads-survive", text="created 2 times")
def worker_created_twice(run: Run) -> None:
    run.copy(run.first("WorkerCreate", Worker=3))


@fails("workers-as-asked", text="created 0 times")
def worker_not_created(run: Run) -> None:
    run.remove(run.first("WorkerCreate", Worker=3))


@fails("workers-as-asked", text="0xc000009a")
def worker_refused(run: Run) -> None:
    run.first("WorkerCreate", Worker=3).fields["Status"] = 0xC000009A


@fails("worker-threads-survive", text="has tid 999 where the WorkerCreate has WorkerThreadId 301")
def iteration_on_another_thread(run: Run) -> None:
    run.find("IterationBegin", Worker=1)[-1].tid = 999


@fails("worker-threads-survive", text="expected exactly 1 WorkerThreadStart for Worker 1")
def thread_made_again(run: Run) -> None:
    run.copy(run.first("WorkerThreadStart", Worker=1))


@fails("worker-threads-survive", text="expected exactly 1 WorkerThreadEnd for Worker 1")
def thread_without_end(run: Run) -> None:
    run.remove(run.first("WorkerThreadEnd", Worker=1))


@fails("worker-threads-survive", text="comes after the WorkerThreadEnd at")
def iteration_after_thread_end(run: Run) -> None:
    run.first("WorkerThreadEnd", Worker=1).tick = run.find("IterationBegin", Worker=1)[-1].tick - 1


# ---- swaps ----


@fails("swap-phases-in-order", text="Drained before Stalled")
def drained_before_stalled(run: Run) -> None:
    run.first("SwapDrained", Swap=2).tick = run.first("SwapStalled", Swap=2).tick - 1


@fails("swap-phases-in-order", text="has PostProcess 2 times")
def phase_doubled(run: Run) -> None:
    run.copy(run.first("SwapPostProcess", Swap=2), tick=run.first("SwapPostProcess", Swap=2).tick)


@fails("swap-phases-in-order", text="has no Stalled")
def phase_missing(run: Run) -> None:
    run.remove(run.first("SwapStalled", Swap=2))


@fails("swap-phases-in-order", text="PostProcess answered STATUS_UNSUCCESSFUL")
def post_process_failed_without_rollback(run: Run) -> None:
    run.first("SwapPostProcess", Swap=2).fields["Status"] = 0xC0000001


@fails("swap-phases-in-order", "no-old-version-after-switch", text="was rolled back")
def swap_rolled_back(run: Run) -> None:
    post = run.first("SwapPostProcess", Swap=2)
    run.events.append(Event(post.tick, 0, CONTROL, "SwapRolledBack", dict(post.fields)))


@fails("swap-phases-in-order", text="ended with STATUS_UNSUCCESSFUL")
def swap_ends_with_a_failure(run: Run) -> None:
    run.first("SwapEnd", Swap=2).fields["Status"] = 0xC0000001


@fails("drained-in-time", "swap-phases-in-order", "no-iteration-cut-short", text="iteration 1 of worker 5")
def drain_timed_out(run: Run) -> None:
    drained = run.first("SwapDrained", Swap=2)
    drained.fields["Status"] = 0x102
    run.iteration(run.first("IterationBegin", Worker=5))[-1].tick = drained.tick + 1


@fails("hold-time-in-budget", text="the budget is 0.001 ms")
def held_for_too_long(run: Run) -> None:
    run.witness(hold_budget_ms=0.001)


@fails("swap-phases-in-order", text="FirstHeld before PreProcess")
def held_before_preprocess(run: Run) -> None:
    run.first("SwapFirstHeld", Swap=2).tick = run.first("SwapBegin", Swap=2).tick


@fails("swap-phases-in-order", text="expected 1->2, 2->1, 1->2")
def swap_missing(run: Run) -> None:
    run.witness(
        expected_versions=(1, 2, 1, 2),
        updates=(*(run.witnesses.updates or ()), dataclasses.replace((run.witnesses.updates or ())[1])),
        snapshots=((run.witnesses.snapshots or ())[0], *(run.witnesses.snapshots or ())),
    )


@fails("nothing-runs-while-held", text="IterationBegin of worker 1 between drain and release")
def iteration_while_held(run: Run) -> None:
    """The first iteration of the new version, moved to just before the release."""
    switched, released = run.first("SwapSwitched", Swap=2), run.first("SwapReleased", Swap=2)
    released.tick = switched.tick + 4
    begin = next(e for e in run.find("IterationBegin") if e.tick > switched.tick)
    begin.tick = switched.tick + 2


@fails("nothing-runs-while-held", "work-once-per-iteration", text="EndpointWork")
def work_while_held(run: Run) -> None:
    switched, released = run.first("SwapSwitched", Swap=2), run.first("SwapReleased", Swap=2)
    released.tick = switched.tick + 4
    next(e for e in run.find("EndpointWork") if e.tick > switched.tick).tick = switched.tick + 2


@fails("no-old-version-after-switch", text="in version 1 while version 2 was in force")
def old_version_after_switch(run: Run) -> None:
    begin = next(e for e in run.find("IterationBegin") if e.tick > run.first("SwapEnd", Swap=2).tick)
    for event in run.iteration(begin):
        event.fields["Version"] = 1


@fails("no-old-version-after-switch", text="in version 2 while version 1 was in force")
def new_version_before_switch(run: Run) -> None:
    begin = next(e for e in run.find("IterationBegin") if e.tick > run.first("SwapEnd", Swap=1).tick)
    for event in run.iteration(begin):
        event.fields["Version"] = 2


@fails("no-old-version-after-switch", "work-names-version", text="EndpointWork")
def old_work_after_switch(run: Run) -> None:
    """The host believes in the new version and the endpoint driver says it is the old one."""
    next(e for e in run.find("EndpointWork") if e.tick > run.first("SwapEnd", Swap=2).tick).fields["Version"] = 1


# ---- iterations ----


@fails("no-iteration-cut-short", text="never ended")
def iteration_without_end(run: Run) -> None:
    run.remove(run.find("IterationEnd", Worker=1)[3])


@fails("no-iteration-cut-short", "work-once-per-iteration", "signals-accounted", text="ends what was not begun")
def iteration_without_begin(run: Run) -> None:
    run.remove(run.find("IterationBegin", Worker=1)[3])
    run.recount()


@fails(
    "no-iteration-cut-short",
    "work-once-per-iteration",
    "wait-status-names-signalled-event",
    "signals-accounted",
    text="never ended",
)
def iteration_begun_twice(run: Run) -> None:
    run.copy(run.find("IterationBegin", Worker=1)[3])
    run.recount()


@fails("no-iteration-cut-short", text="has Iteration 5 where 4 was due")
def iteration_number_skipped(run: Run) -> None:
    for begin in run.find("IterationBegin", Worker=1)[:2:-1]:
        for event in run.iteration(begin):
            event.fields["Iteration"] += 1


@fails("no-iteration-cut-short", text="still inside when swap 2 had drained")
def iteration_spans_the_drain(run: Run) -> None:
    drained = run.first("SwapDrained", Swap=2).tick
    begin = [e for e in run.find("IterationBegin", Worker=4) if e.tick < drained][-1]
    run.iteration(begin)[-1].tick = drained + 1


@fails("no-iteration-cut-short", text="overlap")
def iterations_overlap(run: Run) -> None:
    swap = run.first("SwapEnd", Swap=2).tick
    first, second = [e for e in run.find("IterationBegin", Worker=3) if e.tick > swap][:2]
    run.iteration(first)[-1].tick = second.tick + 1


@fails("no-iteration-cut-short", text="has WaitStatus STATUS_WAIT_0 where the IterationBegin has STATUS_WAIT_1")
def iteration_ends_with_another_status(run: Run) -> None:
    run.find("IterationEnd", Worker=1)[3].fields["WaitStatus"] ^= 1


@fails(
    "work-once-per-iteration", text="expected exactly 1 EndpointWork for Worker 1, Iteration 4 (the IterationBegin at"
)
def work_twice(run: Run) -> None:
    run.copy(run.find("EndpointWork", Worker=1)[3])


@fails("work-once-per-iteration", text="), the trace has 0")
def no_work(run: Run) -> None:
    run.remove(run.find("EndpointWork", Worker=1)[3])


@fails("work-once-per-iteration", "nothing-runs-while-held", text="comes after the IterationEnd at")
def work_outside_its_iteration(run: Run) -> None:
    work = run.find("EndpointWork", Worker=1)[3]
    end = run.first("IterationEnd", Worker=1, Iteration=work["Iteration"])
    work.tick, end.tick = end.tick, work.tick


@fails("work-names-version", "no-old-version-after-switch", text="has Version 9 where the IterationBegin has 1")
def work_of_another_version(run: Run) -> None:
    run.find("EndpointWork", Worker=1)[3].fields["Version"] = 9


@fails("work-names-wait-status", text="where the IterationBegin has STATUS_WAIT_")
def work_with_another_status(run: Run) -> None:
    run.find("EndpointWork", Worker=1)[3].fields["WaitStatus"] ^= 1


@fails("work-once-per-iteration", text="is not preceded by an IterationBegin")
def work_without_iteration(run: Run) -> None:
    run.copy(run.find("EndpointWork", Worker=1)[3], Iteration=9999)


@fails(
    "workers-run-until-stopped", "worker-threads-survive", text="ended though nobody had asked it to stop: iteration"
)
def worker_ends_by_itself(run: Run) -> None:
    stop = run.first("SignalBegin", Worker=1, Source=2)
    run.first("WorkerThreadEnd", Worker=1).tick = stop.tick - 1


@open_question("workers-run-until-stopped", "the trace has no WorkerThreadEnd")
def no_thread_end_at_all(run: Run) -> None:
    run.remove(*run.find("WorkerThreadEnd"))
    run.keep_ring = True  # no ring witness: what is missing in the trace is then no failure
    run.witness(ring=None)


# ---- waits and signals ----


def _status(run: Run, begin: Event, status: int) -> None:
    for event in run.iteration(begin):
        event.fields["WaitStatus"] = status


@fails("wait-status-names-signalled-event", "signals-accounted", text="impossible wait status STATUS_WAIT_7")
def status_out_of_range(run: Run) -> None:
    _status(run, run.find("IterationBegin", Worker=1)[3], 7)


@fails("wait-status-names-signalled-event", "signals-accounted", text="impossible wait status STATUS_TIMEOUT")
def timeout_of_a_worker_without(run: Run) -> None:
    _status(run, run.find("IterationBegin", Worker=1)[3], 0x102)


@fails("wait-status-names-signalled-event", text="impossible wait status STATUS_ALERTED")
def alerted_though_not_alertable(run: Run) -> None:
    _status(run, run.find("IterationBegin", Worker=3, WaitStatus=0x102)[0], 0x101)


@fails("wait-status-names-signalled-event", "signals-accounted", text="impossible wait status STATUS_WAIT_1")
def wait_all_with_an_index(run: Run) -> None:
    _status(run, run.find("IterationBegin", Worker=2)[3], 1)


@fails("wait-status-names-signalled-event", "signals-accounted", text="names an event that was not signalled")
def status_names_another_event(run: Run) -> None:
    _status(run, run.find("IterationBegin", Worker=1, WaitStatus=0)[0], 1)


@fails("time-outs-not-early", text="of worker 3 timed out before its time (1000 ms)")
def relative_time_out_too_early(run: Run) -> None:
    run.first("WorkerCreate", Worker=3).fields["Timeout"] = -10_000_000
    run.witness(workers=_with_timeout(run, -10_000_000))


@fails("time-outs-not-early", text="timed out before its time (absolute")
def absolute_time_out_too_early(run: Run) -> None:
    late = 1 << 62
    run.first("WorkerCreate", Worker=3).fields["Timeout"] = late
    run.witness(workers=_with_timeout(run, late))


def _with_timeout(run: Run, timeout: int) -> tuple[WorkerDefinition, ...]:
    workers = run.witnesses.workers or ()
    return tuple(dataclasses.replace(w, timeout=timeout) if w.worker == 3 else w for w in workers)


@fails("wait-all-needs-all", "signals-accounted", text="not all of its events were signalled")
def wait_all_with_one_event(run: Run) -> None:
    end = run.find("SignalEnd", Worker=2, EventIndex=1, PreviousState=0)[1]
    run.remove(end, run.first("SignalBegin", Worker=2, EventIndex=1, Signal=end["Signal"]))
    run.recount()


@fails("signals-accounted", text="lost wake-up: worker 1 event 0")
def wakeup_lost(run: Run) -> None:
    run.remove_iteration(run.find("IterationBegin", Worker=1, WaitStatus=0)[3])
    run.recount()


@fails("signals-accounted", text="lost wake-up: worker 2 event 0")
def wakeup_of_wait_all_lost(run: Run) -> None:
    run.remove_iteration(run.find("IterationBegin", Worker=2)[3])
    run.recount()


@fails("signals-accounted", text="lost wake-up: worker 5 event 0")
def initial_state_lost(run: Run) -> None:
    run.remove_iteration(run.find("IterationBegin", Worker=5)[0])
    run.recount()


@fails("signals-accounted", text="lost wake-up: worker 1 event 0")
def held_wakeup_lost(run: Run) -> None:
    """Signalled while calls were held, and dropped instead of run by the new version."""
    released = run.first("SwapReleased", Swap=2).tick
    run.remove_iteration(next(e for e in run.find("IterationBegin", Worker=1, WaitStatus=0) if e.tick > released))
    run.recount()


@fails("signals-accounted", "wait-status-names-signalled-event", text="iteration without a signal: worker 1 event 0")
def signal_not_accepted(run: Run) -> None:
    run.find("SignalEnd", Worker=1, EventIndex=0, PreviousState=0)[3].fields["PreviousState"] = 1
    run.recount()


@fails("signals-accounted", text="final state 1")
def final_state_made_up(run: Run) -> None:
    stop = run.first("WorkerStop", Worker=1)
    stop.fields["FinalStateMask"] ^= 0b10
    run.witness(final_states=None)


@open_question("signals-accounted", "final state unknown")
def final_state_unknown(run: Run) -> None:
    run.remove(run.first("WorkerStop", Worker=1))
    run.witness(final_states={})


@open_question("signals-accounted", "never returned")
def signal_never_returned(run: Run) -> None:
    run.remove(run.find("SignalEnd", Worker=1, PreviousState=1)[0])
    run.recount()


# ---- progress, counters, images ----


@open_question("progress-after-swap", "of 4 versions")
def version_never_in_force(run: Run) -> None:
    swap_missing(run)
    run.keep_ring = True  # no ring witness: what is missing in the trace is then no failure
    run.witness(ring=None)


@fails("counters-agree", text="Iterations")
def iterations_counted_wrong(run: Run) -> None:
    run.first("HostStop").fields["Iterations"] += 1


@fails("counters-agree", text="Signals")
def signals_counted_wrong(run: Run) -> None:
    run.first("HostStop").fields["Signals"] -= 1


@fails("counters-agree", text="the Iterations of WorkerStop for Worker 2 is")
def worker_counted_wrong(run: Run) -> None:
    run.first("WorkerStop", Worker=2).fields["Iterations"] += 1


@fails("counters-agree", text="the sum of Accepted of LoadStop is")
def load_counted_wrong(run: Run) -> None:
    run.first("LoadStop").fields["Accepted"] += 1


@fails("counters-agree", text="counters read at the end")
def reply_counts_otherwise(run: Run) -> None:
    run.witness(final_counters={**(run.witnesses.final_counters or {}), "Signals": 3})


@fails("counters-agree", text="names other final states")
def reply_names_other_states(run: Run) -> None:
    run.witness(final_states={**(run.witnesses.final_states or {}), 1: 3})


@fails("counters-zero-at-unload", text="2 ProxyActiveCalls left at HostStop")
def calls_left(run: Run) -> None:
    run.first("HostStop").fields["ProxyActiveCalls"] = 2


@fails("counters-zero-at-unload", text="1 Threads left")
def threads_left_by_reply(run: Run) -> None:
    run.witness(final_counters={**(run.witnesses.final_counters or {}), "Threads": 1})


@open_question("counters-zero-at-unload", "did not count while workers ran")
def counters_never_counted(run: Run) -> None:
    run.witness(middle_counters={"Workers": 0, "Threads": 0, "Events": 0})


@open_question("counters-zero-at-unload", "not read")
def counters_not_read(run: Run) -> None:
    run.witness(final_counters=None)


@fails("endpoint-unloaded", text="version 1 was not unloaded after swap 2")
def endpoint_not_unloaded(run: Run) -> None:
    run.remove(*run.find("EndpointUnloaded", Version=1))


@fails("endpoint-unloaded", text="0xc0000001")
def endpoint_unload_failed(run: Run) -> None:
    run.first("EndpointUnloaded", Version=1).fields["Status"] = 0xC0000001


def _left_behind(field: str, count: int = 1) -> Mutation:
    def leak(run: Run) -> None:
        run.first("EndpointVerified", Version=2).fields[field] = count

    leak.__name__ = f"left_behind_{field}"
    return leak


for leaked, by, message in (
    ("PoolBlocks", "endpoint-frees-pool", "version 2 left 1 pool allocations (0 bytes) behind"),
    ("Threads", "endpoint-ends-threads", "version 2 left 1 running threads behind"),
    ("Events", "endpoint-closes-handles", "version 2 left 1 handles behind"),
    ("Handles", "endpoint-closes-handles", "version 2 left 1 handles behind"),
    ("References", "endpoint-drops-references", "version 2 left 1 object references behind"),
):
    fails(by, text=message)(_left_behind(leaked))


@open_question("endpoint-frees-pool", "were not interposed: STATUS_NOT_SUPPORTED")
def imports_not_interposed(run: Run) -> None:
    run.first("EndpointVerified", Version=2).fields |= {"Status": 0xC00000BB, "Imports": 0}


def test_a_driver_that_imports_nothing_to_take_by_leaves_nothing_behind() -> None:
    run = good_run()
    run.first("EndpointVerified", Version=2).fields |= {"Imports": 0, "Calls": 0}
    assert combine(run.evaluate().values()) == Verdict.PASS


@fails("endpoint-frees-pool", text="a driver whose DriverEntry failed left 1 pool allocations (64 bytes) behind")
def failed_entry_leaks(run: Run) -> None:
    run.copy(run.first("EndpointVerified", Version=1), Version=0, PoolBlocks=1, PoolBytes=64)


def test_a_driver_that_did_not_come_to_be_loaded_is_not_missed_at_unload() -> None:
    run = good_run()
    run.copy(run.first("EndpointVerified", Version=1), Version=0)
    run.recount()
    assert combine(run.evaluate().values()) == Verdict.PASS


@open_question("endpoint-ends-threads", "were verified")
def endpoint_not_verified(run: Run) -> None:
    run.remove(run.first("EndpointVerified", Version=2))


def _snapshot(run: Run, index: int, **changes: object) -> None:
    seen = list(run.witnesses.snapshots or ())
    seen[index] = dataclasses.replace(seen[index], **changes)
    run.witness(snapshots=tuple(seen))


@fails("old-image-gone", text="after swap 1: hotswap_v1.sys is still in the guest's module list")
def old_image_in_module_list(run: Run) -> None:
    modules = (run.witnesses.snapshots or ())[1].modules or frozenset()
    _snapshot(run, 1, modules=modules | {"C:\\Windows\\HotSwap_V1.sys"})


@fails("old-image-gone", text="after swap 1: hotswap_v1.sys is still in /proc/PID/maps")
def old_image_mapped(run: Run) -> None:
    maps = (run.witnesses.snapshots or ())[1].maps or frozenset()
    _snapshot(run, 1, maps=maps | {"/run/hotswap_v1.sys"})


@fails("old-image-gone", text="after stop: driverproxy.sys is still in")
def host_image_after_stop(run: Run) -> None:
    _snapshot(run, -1, maps=frozenset({"/run/driverproxy.sys"}))


@open_question("old-image-gone", "does not show driverproxy.sys, which is there")
def maps_are_blind(run: Run) -> None:
    _snapshot(run, 1, maps=frozenset())


@open_question("old-image-gone", "could not be read")
def module_list_not_read(run: Run) -> None:
    _snapshot(run, 1, modules=None)


@open_question("old-image-gone", "nobody looked")
def images_not_looked_at(run: Run) -> None:
    run.witness(snapshots=None)


@open_question("old-image-gone", "3 times instead of 4")
def images_looked_at_too_rarely(run: Run) -> None:
    run.witness(snapshots=(run.witnesses.snapshots or ())[1:])


@fails("services-stopped", text="after swap 1: hotswap_v1.sys is still in the list of services that run")
def old_service_runs(run: Run) -> None:
    services = (run.witnesses.snapshots or ())[1].services or frozenset()
    _snapshot(run, 1, services=services | {"hotswap_v1.sys"})


@fails("services-stopped", text="after stop: hotswap.sys is still in")
def host_service_after_stop(run: Run) -> None:
    _snapshot(run, -1, services=frozenset({"hotswap.sys"}))


@open_question("services-stopped", "does not show hotswap_v2.sys, which is there")
def service_manager_is_blind(run: Run) -> None:
    _snapshot(run, 1, services=frozenset({"hotswap.sys"}))


@open_question("services-stopped", "could not be read")
def services_not_read(run: Run) -> None:
    _snapshot(run, 1, services=None)


@fails("device-gone", text="after stop: \\GLOBAL??\\HotSwap is still in the object manager")
def link_left(run: Run) -> None:
    _snapshot(run, -1, objects=frozenset({"\\GLOBAL??\\HotSwap"}))


@fails("device-gone", text="after stop: \\Device\\HotSwap is still in")
def device_left(run: Run) -> None:
    _snapshot(run, -1, objects=frozenset({"\\Device\\HotSwap"}))


@open_question("device-gone", "after swap 1: the object manager does not show \\Device\\HotSwap")
def device_not_seen(run: Run) -> None:
    _snapshot(run, 1, objects=frozenset({"\\GLOBAL??\\HotSwap"}))


@open_question("device-gone", "could not be read")
def objects_not_read(run: Run) -> None:
    _snapshot(run, -1, objects=None)


@fails("threads-gone", text="11 threads after the stop")
def threads_left(run: Run) -> None:
    run.witness(threads=ThreadCounts(9, 17, 11))


@open_question("threads-gone", "were not seen")
def threads_not_seen(run: Run) -> None:
    run.witness(threads=ThreadCounts(9, 9, 9))


@open_question("threads-gone", "not counted")
def threads_not_counted(run: Run) -> None:
    run.witness(threads=None)


def _not_passed(results: dict[str, ExpectationResult], verdict: Verdict) -> set[str]:
    return {result.id for result in results.values() if result.verdict == verdict}


@pytest.mark.parametrize("seed", range(8))
def test_a_good_run_passes(seed: int) -> None:
    results = good_run(seed).evaluate()
    assert {result.id: result.message for result in results.values() if result.verdict != Verdict.PASS} == {}
    assert combine(results.values()) == Verdict.PASS


@pytest.mark.parametrize(
    ("expectation", "text", "mutation", "companions"), FAILS, ids=[m.__name__ for _, _, m, _ in FAILS]
)
def test_a_mutation_is_caught_by_its_expectation(
    expectation: str, text: str, mutation: Mutation, companions: frozenset[str]
) -> None:
    run = good_run()
    mutation(run)
    results = run.evaluate()
    assert results[expectation].verdict == Verdict.FAIL, results[expectation].message
    assert text in results[expectation].message
    assert _not_passed(results, Verdict.FAIL) <= {expectation} | companions
    assert combine(results.values()) == Verdict.FAIL


@pytest.mark.parametrize(("expectation", "text", "mutation"), OPEN, ids=[m.__name__ for _, _, m in OPEN])
def test_missing_evidence_is_inconclusive(expectation: str, text: str, mutation: Mutation) -> None:
    run = good_run()
    mutation(run)
    results = run.evaluate()
    assert results[expectation].verdict == Verdict.INCONCLUSIVE, results[expectation].message
    assert text in results[expectation].message
    assert _not_passed(results, Verdict.FAIL) == set()
    assert combine(results.values()) == Verdict.INCONCLUSIVE


def test_every_expectation_is_seen_to_fail_or_to_stay_open() -> None:
    failing, unanswered = {name for name, *_ in FAILS}, {name for name, *_ in OPEN}
    everything = {expectation.id for expectation in SWAP_EXPECTATIONS}
    # These two speak about evidence only, so that they never fail.
    assert failing == everything - {"evidence-complete", "progress-after-swap"}
    assert {"evidence-complete", "progress-after-swap"} <= unanswered


def test_a_dead_driver_host_fails_even_without_evidence() -> None:
    run = good_run()
    host_died(run)
    run.remove(run.first("HostStop"))
    run.witness(ring=None, snapshots=None, threads=None, final_counters=None, updates=None)
    run.keep_ring = True
    results = list(run.evaluate().values())
    assert combine(results) == Verdict.FAIL
    assert reason(results) == "driver-host-alive: the driver host died: killed by signal 9"


def _tiny() -> Simulation:
    simulation = Simulation(workers=(WorkerDefinition(1, WAIT_ANY, 1), WorkerDefinition(2, WAIT_ALL, 2)))
    simulation.start()
    return simulation


def _finish(simulation: Simulation) -> Run:
    for version in (2, 1):
        simulation.signal(1, 0)
        simulation.run(1)
        simulation.swap(version)
    simulation.stop()
    return simulation.finish((1, 2, 1))


def test_a_lost_wakeup_hidden_by_a_made_up_one_is_found() -> None:
    """Two accepted signals without an iteration in between, and later an iteration too many: the totals agree."""
    simulation = _tiny()
    simulation.signal(1, 0)
    status = simulation.wait(1)

    def clear_silently() -> None:
        simulation.signal(1, 0)
        simulation.state[1, 0] = False
        simulation.signal(1, 0)

    simulation.iterate(1, status, during=clear_silently)
    simulation.run(1)
    simulation.iterate(1, 0)
    run = _finish(simulation)
    result = run.evaluate()["signals-accounted"]
    assert result.verdict == Verdict.FAIL
    assert "two signals were accepted with no iteration in between" in result.message
    names = [run.etl().events.row(row)["event"] for row in result.slice]
    assert names == ["SignalBegin", "SignalEnd", "SignalBegin", "SignalEnd"]


def test_the_slice_of_a_lost_wakeup_starts_with_the_lost_signal() -> None:
    simulation = _tiny()
    simulation.signal(1, 0)
    simulation.run(1)
    simulation.signal(1, 0)
    lost = simulation.now
    simulation.state[1, 0] = False
    for _ in range(3):  # iterations that begin before their signal has returned
        simulation.signal(1, 0, between=lambda: simulation.run(1))
    run = _finish(simulation)
    result = run.evaluate()["signals-accounted"]
    assert result.verdict == Verdict.FAIL
    table = run.etl().events
    assert [table.row(row)["event"] for row in result.slice][:2] == ["SignalBegin", "SignalEnd"]
    assert table.tick[result.slice[1]] == lost
    assert len(result.slice) <= 5
    text = format_slice(table, result.slice)
    assert "PreviousState=0" in text
    assert "WaitStatus=STATUS_WAIT_0" in text


def test_an_iteration_seen_before_the_signal_has_returned_is_no_failure() -> None:
    """The waiter may run before the signalling thread gets to write SignalEnd; equal ticks are no order either."""
    simulation = _tiny()
    simulation.signal(1, 0, between=lambda: simulation.run(1))
    run = _finish(simulation)
    for begin in run.find("IterationBegin", Worker=1)[:1]:
        begin.tick = run.first("SignalBegin", Worker=1).tick
    results = run.evaluate()
    assert _not_passed(results, Verdict.FAIL) == set()


@pytest.mark.parametrize("cleared", [True, False])
def test_a_notification_event_counts_until_it_is_cleared(cleared: bool) -> None:
    simulation = Simulation(workers=(WorkerDefinition(4, WAIT_ANY, 2, notification_mask=0b10),))
    simulation.start()
    simulation.signal(4, 1)
    simulation.run(4)
    simulation.run(4)
    if cleared:
        simulation.clear(4, 0)  # when the thread was here, it had not yet cleared the other
        simulation.clear(4, 1)
        simulation.signal(4, 0)
        simulation.run(4)
    simulation.iterate(4, 1)
    simulation.clear(4, 1)
    for version in (2, 1):
        simulation.signal(4, 0)
        simulation.run(4)
        simulation.swap(version)
        simulation.signal(4, 0)
        simulation.run(4)
    simulation.stop()
    results = simulation.finish((1, 2, 1)).evaluate()
    expected = {"wait-status-names-signalled-event"} if cleared else set()
    assert _not_passed(results, Verdict.FAIL) == expected


def test_a_version_without_work_is_not_exercised() -> None:
    simulation = Simulation(workers=(WorkerDefinition(3, WAIT_ANY, 1),))
    simulation.start()
    simulation.signal(3, 0)
    simulation.run(3)
    simulation.swap(2)
    simulation.swap(1)
    simulation.stop()
    result = simulation.finish((1, 2, 1)).evaluate()["progress-after-swap"]
    assert (result.verdict, result.message) == (Verdict.INCONCLUSIVE, "version 2 was never exercised")


def test_a_worker_that_stays_quiet_after_the_swap_is_named() -> None:
    simulation = _tiny()
    simulation.signal(1, 0)
    simulation.run(1)
    simulation.swap(2)
    simulation.run(1)
    simulation.signal(1, 0)
    simulation.run(1)
    simulation.swap(1)
    simulation.stop()
    run = simulation.finish((1, 2, 1))
    for begin in [e for e in run.find("IterationBegin", Worker=1) if e["Version"] == 2]:
        run.remove_iteration(begin)
    result = run.evaluate()["progress-after-swap"]
    assert result.verdict == Verdict.INCONCLUSIVE
    assert "worker 1 never ran in version 2" in result.message or "never exercised" in result.message


def test_fields_and_provider_are_those_of_the_header() -> None:
    assert provider_name() == PROVIDER_NAME
    assert provider_guid_bytes() == PROVIDER_GUID.bytes_le
    for name, wanted in FIELDS.items():
        assert set(wanted) <= {field.name for field in host_events()[name].schema.fields}, name


def test_ids_are_unique_and_every_statement_is_a_sentence() -> None:
    assert len({expectation.id for expectation in SWAP_EXPECTATIONS}) == len(SWAP_EXPECTATIONS)
    assert all(expectation.statement.endswith(".") for expectation in SWAP_EXPECTATIONS)


def test_a_long_run_is_judged_in_seconds() -> None:
    simulation = Simulation(2)
    simulation.start()
    for version in (2, 1):
        simulation.load(3000)
        simulation.swap(version)
    simulation.load(3000)
    simulation.stop()
    run = simulation.finish((1, 2, 1))
    etl = run.etl()
    run.witness(ring=RingStats(len(run.events), 0, len(run.events)))
    begun = time.process_time()
    results = evaluate(etl, run.witnesses)
    elapsed = time.process_time() - begun
    assert combine(results) == Verdict.PASS
    assert len(run.events) / elapsed > 100_000, f"{len(run.events)} events took {elapsed:.2f} s"


def test_pairs_of_mutations_still_fail() -> None:
    """Two defects at once must not cancel each other."""
    for first, second in itertools.combinations([wakeup_lost, work_twice, old_version_after_switch, threads_left], 2):
        run = good_run()
        first(run)
        second(run)
        assert combine(run.evaluate().values()) == Verdict.FAIL
