"""What tests of the host driver by its IOCTLs have in common."""

from __future__ import annotations

from typing import Any

from hotswap.deadline import Deadline
from hotswap.swap.lab import Lab
from hotswap.trace.etl import EtlFile, read_etl

WAIT_ALL, WAIT_ANY = 0, 1
WAITING, RUNNING, ENDED = 0, 1, 3


def load(lab: Lab, service: str, deadline: Deadline) -> Any:
    """Update to an endpoint driver and return the reply."""
    return lab.device.update(service_name=service, deadline=deadline)


def iterations(lab: Lab, worker: int, at_least: int, deadline: Deadline) -> Any:
    """Query a worker until it has run this often, and waits again or was ended by its routine."""

    def ran() -> Any:
        info = lab.device.query_worker(worker_id=worker, deadline=deadline)
        return info if info.iterations >= at_least and info.state in (WAITING, ENDED) else None

    return deadline.within(10).wait_for(ran, f"{at_least} iterations of worker {worker}", interval=0.002)


def worker_of(lab: Lab, deadline: Deadline, **fields: int) -> int:
    """A new worker that waits for any of its events, one unless told otherwise."""
    created = lab.device.create_worker(**{"wait_type": WAIT_ANY, "event_count": 1, **fields}, deadline=deadline)
    assert created.status == 0
    return int(created.worker_id)


def signal(lab: Lab, worker: int, deadline: Deadline, event: int = 0) -> None:
    """Signal one event of a worker."""
    lab.device.signal_event(worker_id=worker, event_index=event, deadline=deadline)


def turn(lab: Lab, worker: int, deadline: Deadline, times: int = 1) -> None:
    """Signal a worker and wait for the iteration, this often."""
    for _ in range(times):
        done = lab.device.query_worker(worker_id=worker, deadline=deadline).iterations
        signal(lab, worker, deadline)
        iterations(lab, worker, done + 1, deadline)


def held(lab: Lab, deadline: Deadline, calls: int = 1) -> None:
    """Wait until a stall holds this many calls."""
    deadline.within(10).wait_for(
        lambda: lab.device.query_counters(deadline=deadline).proxy_held_calls >= calls,
        f"{calls} held calls",
        interval=0.002,
    )


def held_once(lab: Lab, worker: int, deadline: Deadline) -> None:
    """Signal a worker until a stall holds it: before the stall it just runs."""

    def stalled() -> bool:
        if lab.device.query_counters(deadline=deadline).proxy_held_calls:
            return True
        signal(lab, worker, deadline)
        return False

    deadline.within(10).wait_for(stalled, f"worker {worker} to be held", interval=0.002)


def trace_of(lab: Lab) -> EtlFile:
    """Shut the driver down and read the whole trace."""
    lab.shutdown(deadline=Deadline.after(20))
    lab.close()
    return read_etl(lab.run.trace)
