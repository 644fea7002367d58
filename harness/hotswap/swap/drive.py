"""What is done to the guest in a swap test, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.package import DeployedImage
from hotswap.errors import GuestFault, HotswapError
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations, counters, update_reply
from hotswap.swap.plan import SwapPlan
from hotswap.swap.witnesses import WAIT_ANY, WorkerDefinition

RUNTIMES = {"auto": 0, "native": 1, "compat": 2, "plain": 3}
_IOCTL_SIGNALS = 64
# No request to the driver takes a second; a computer that is very busy is given its time.
_CALL_SECONDS = 30.0

Interference = Callable[[str, Lab], None]
"""Called at named points of the test (`load-running`, `update-begun`): for tests that break things on purpose."""


def drive(lab: Lab, plan: SwapPlan, seen: Observations, deadline: Deadline, interfere: Interference | None) -> None:
    """The whole test, from the first endpoint driver to the shutdown. Raises GuestFault when the guest gives up."""
    first, *rest = lab.package.endpoints
    lab.device.configure(
        runtime=RUNTIMES[plan.runtime],
        ring_slots=plan.ring_slots,
        drain_timeout_ms=plan.drain_timeout_ms,
        deadline=_call(deadline),
    )
    with lab.step("load first driver"):
        _update(lab, plan, seen, first, deadline, None)
        seen.threads_baseline = lab.threads()
    with lab.step("create workers"):
        _create_workers(lab, plan, seen, deadline)
        seen.threads_working = lab.threads()
    with lab.step("run load"):
        load = _start_load(lab, plan, deadline)
        _run_phase(lab, plan, seen, deadline, interfere)
    for number, image in enumerate(rest, 1):
        with lab.step("swap"):
            _update(lab, plan, seen, image, deadline, interfere)
        with lab.step("run load"):
            _run_phase(lab, plan, seen, deadline, interfere)
        if number == 1:
            seen.middle_counters = counters(lab.device.query_counters(deadline=_call(deadline)))
    with lab.step("stop workers"):
        lab.device.stop_load(load_id=load, deadline=_call(deadline))
        for worker in seen.workers:
            stopped = lab.device.stop_worker(worker_id=worker.worker, deadline=_call(deadline))
            if not stopped.status.succeeded:
                raise GuestFault(f"stopping worker {worker.worker}: {stopped.status}; its thread did not end")
            seen.final_states[worker.worker] = stopped.final_state_mask
        seen.all_states_seen = True
    with lab.step("shut the driver down"):
        seen.final_counters = counters(lab.shutdown(deadline=_call(deadline)))
        seen.threads_stopped = _settled_threads(lab, seen)


def _create_workers(lab: Lab, plan: SwapPlan, seen: Observations, deadline: Deadline) -> None:
    for definition in plan.worker_definitions():
        created = lab.device.create_worker(
            wait_type=definition.wait_type,
            wait_mode=definition.wait_mode,
            altertable=definition.altertable,
            has_timeout=definition.has_timeout,
            event_count=definition.event_count,
            timeout=definition.timeout,
            notification_mask=definition.notification_mask,
            initial_state_mask=definition.initial_state_mask,
            work_microseconds=plan.work_us,
            deadline=_call(deadline),
        )
        if not created.status.succeeded:
            raise GuestFault(f"creating worker {definition.worker}: {created.status}")
        seen.workers.append(definition)
        if created.worker_id != definition.worker:
            raise GuestFault(f"worker {definition.worker} was given the id {created.worker_id}")


def _start_load(lab: Lab, plan: SwapPlan, deadline: Deadline) -> int:
    targets = [{"worker_id": worker, "event_index": event} for worker, event in plan.load_targets()]
    started = lab.device.start_load(
        threads=plan.load_threads,
        rate_per_second=plan.rate,
        seed=plan.seed,
        targets=targets,
        deadline=_call(deadline),
    )
    return int(started.load_id)


def _run_phase(
    lab: Lab, plan: SwapPlan, seen: Observations, deadline: Deadline, interfere: Interference | None
) -> None:
    """Driver threads signal by themselves; IOCTLs signal as well, once to each kind of worker."""
    _signal_all(lab, seen.workers, deadline)
    if interfere:
        interfere("load-running", lab)
    lab.pause(plan.seconds)


def _signal_all(lab: Lab, workers: list[WorkerDefinition], deadline: Deadline) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    for worker in workers:
        events = range(worker.event_count) if worker.wait_type != WAIT_ANY else (0,)
        calls += [("signal_event", {"worker_id": worker.worker, "event_index": event}) for event in events]
    for reply in lab.device.batch(calls[:_IOCTL_SIGNALS], deadline=_call(deadline)):
        if not reply.status.succeeded:
            raise GuestFault(f"signalling an event by IOCTL: {reply.status}")


def _update(
    lab: Lab,
    plan: SwapPlan,
    seen: Observations,
    image: DeployedImage,
    deadline: Deadline,
    interfere: Interference | None,
) -> None:
    assert image.service is not None
    pending = lab.device.begin("update", service_name=image.service, deadline=_call(deadline))
    if interfere:
        interfere("update-begun", lab)
    if seen.workers:
        _signal_all(lab, seen.workers, deadline)
    # A drain that never ends is given up by the driver itself, so this much more is the driver hanging.
    reply = pending.result(deadline.within(_CALL_SECONDS + plan.drain_timeout_ms / 1000))
    lab.run.timeline.event("update", image=image.image.name, reply=reply)
    seen.updates.append(update_reply(reply))
    seen.expect_version(image, reply.to_version)
    point = "with the first driver" if len(seen.updates) == 1 else f"after swap {len(seen.updates) - 1}"
    version = seen.expected_versions[-1] if reply.status.succeeded else reply.to_version
    seen.snapshots.append(lab.snapshot(point, version, host_loaded=True, deadline=deadline))


def _settled_threads(lab: Lab, seen: Observations) -> int | None:
    """Thread ends reach the outside a moment after the guest has joined them."""
    baseline = seen.threads_baseline
    count = lab.threads()
    if baseline is None or count is None:
        return count
    try:
        return Deadline.after(2.0).wait_for(
            lambda: now if (now := lab.threads()) is not None and now <= baseline else None,
            "the threads of the driver host to end",
        )
    except HotswapError:
        return lab.threads()


def _call(deadline: Deadline) -> Deadline:
    """For one request: a driver that hangs is noticed long before the test's own deadline."""
    return deadline.within(_CALL_SECONDS)
