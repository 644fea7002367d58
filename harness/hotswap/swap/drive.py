"""What is done to the guest in a swap test, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from hotswap.deadline import Deadline
from hotswap.driver.device import PendingReply
from hotswap.driver.package import DeployedImage
from hotswap.errors import DeadlineExpired, GuestFault
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations, counters
from hotswap.swap.plan import SwapPlan
from hotswap.swap.witnesses import WAIT_ANY, WorkerDefinition

RUNTIMES = {"auto": 0, "native": 1, "compat": 2, "plain": 3}
HOST_FAULTS = {"": 0, "old-call": 1, "keep-image": 2, "keep-link": 3, "keep-extension": 4}
_WHILE_STALLED = 1
_IOCTL_SIGNALS = 64
# No request to the driver takes a second; a computer that is very busy is given its time.
_CALL_SECONDS = 30.0

Interference = Callable[[str, Lab], None]
"""Called at named points of the test, POINTS: for tests that break things on purpose."""
POINTS = (
    "machine-starting", "machine-started", "agent-connected", "driver-open", "load-running", "update-begun", "stopping",
)  # fmt: skip


def drive(
    lab: Lab,
    plan: SwapPlan,
    seen: Observations,
    deadline: Deadline,
    *,
    host_fault: str = "",
) -> None:
    """The whole test, from the first endpoint driver to the shutdown. Raises GuestFault when the guest gives up."""
    _Drive(lab, plan, seen, deadline).run(host_fault)


class _Drive:
    def __init__(self, lab: Lab, plan: SwapPlan, seen: Observations, deadline: Deadline) -> None:
        self.lab = lab
        self.plan = plan
        self.seen = seen
        self.deadline = deadline
        self.first, *self.rest = lab.package.endpoints
        self.load = 0

    def run(self, host_fault: str) -> None:
        self.lab.device.configure(
            runtime=RUNTIMES[self.plan.runtime],
            ring_slots=self.plan.ring_slots,
            drain_timeout_ms=self.plan.drain_timeout_ms,
            host_fault=HOST_FAULTS[host_fault],
            deadline=self._call(),
        )
        with self.lab.step("load first driver"):
            self._take_updates([self.first], exercised=self.plan.update_at != "start")
            self.seen.threads_baseline = self.lab.threads()
        if self.seen.in_force is None:
            raise GuestFault(f"the first endpoint driver, {self.first.image.name}, did not come into force")
        {"load": self._under_load, "start": self._at_start, "stop": self._at_stop, "together": self._together}[
            self.plan.update_at
        ]()
        with self.lab.step("shut the driver down"):
            self.seen.looks += 1
            self.seen.final_counters = counters(self.lab.shutdown(deadline=self._call()))
            if self.seen.threads_baseline is not None:
                self.seen.threads_stopped = self.lab.settled_threads(self.seen.threads_baseline)

    # ---- When updates come ----

    def _under_load(self) -> None:
        self._create_workers(self._definitions())
        self._start_load()
        self._run_load()
        for image in self._while_good(self.rest):
            self._swap([image])
            self._run_load()
        self._stop_workers()

    def _at_start(self) -> None:
        """The first swap while workers are being created."""
        definitions = self._definitions()
        half = (len(definitions) + 1) // 2
        with self.lab.step("swap"):
            self._create_workers(definitions[:half])
            pending = self._begin_update(self.rest[0])
            self._until_held(pending)
            self._create_workers(definitions[half:])
            self._end_update(pending, self.rest[0], exercised=True)
            self._look()
        self._start_load()
        self._run_load()
        for image in self._while_good(self.rest[1:]):
            self._swap([image])
            self._run_load()
        self._stop_workers()

    def _at_stop(self) -> None:
        """The last swap while workers are being stopped."""
        self._create_workers(self._definitions())
        self._start_load()
        self._run_load()
        for image in self._while_good(self.rest[:-1]):
            self._swap([image])
            self._run_load()
        pending = self._begin_update(self.rest[-1])
        self._stop_workers()
        with self.lab.step("swap"):
            self._end_update(pending, self.rest[-1], exercised=False)
            self._look()

    def _together(self) -> None:
        """All swaps asked for at once: the driver has to take them one after the other."""
        self._create_workers(self._definitions())
        self._start_load()
        self._run_load()
        self._swap(self.rest)
        self._run_load()
        self._stop_workers()

    def _while_good(self, images: Sequence[DeployedImage]) -> Iterator[DeployedImage]:
        """The images to go on with: none once a live check has failed, for then the test has what it is looking for."""
        return takewhile(lambda _: not self.lab.failed_live, images)

    # ---- Updates ----

    def _swap(self, images: Sequence[DeployedImage]) -> None:
        with self.lab.step("swap"):
            self._take_updates(images, exercised=True)

    def _take_updates(self, images: Sequence[DeployedImage], *, exercised: bool) -> None:
        """All of them asked for at once; only the last is then in force for some time."""
        pending = [self._begin_update(image) for image in images]
        if self.seen.workers and self.plan.load == "steady":
            self._signal_all()
        for request, image in zip(pending, images, strict=True):
            self._end_update(request, image, exercised=exercised and image is images[-1])
        self._look()

    def _begin_update(self, image: DeployedImage) -> PendingReply:
        assert image.service is not None
        pending = self.lab.device.begin("update", service_name=image.service, deadline=self._call())
        self.lab.interfere("update-begun")
        return pending

    def _end_update(self, pending: PendingReply, image: DeployedImage, *, exercised: bool) -> None:
        # A drain that never ends is given up by the driver itself, so this much more is the driver hanging.
        try:
            reply = pending.result(self.deadline.within(_CALL_SECONDS + self.plan.drain_timeout_ms / 1000))
        except DeadlineExpired as error:
            raise DeadlineExpired(f"the update to {image.image.name} was not answered: {error}") from error
        self.lab.run.timeline.event("update", image=image.image.name, reply=reply)
        self.seen.note_update(reply, image, exercised=exercised)

    def _until_held(self, pending: PendingReply) -> None:
        """Wake the workers until the swap holds one of them, or has ended."""

        def held() -> bool:
            self._signal_all()
            return pending.done or self.lab.device.query_counters(deadline=self._call()).proxy_held_calls > 0

        self._call().wait_for(held, "the swap to hold a call")

    def _look(self) -> None:
        self.seen.looks += 1
        number = len(self.seen.updates) - 1
        point = f"after swap {number}" if number else "with the first driver"
        image = self.seen.image_in_force
        self.seen.snapshots.append(self.lab.snapshot(point, image, host_loaded=True, deadline=self.deadline))

    # ---- Workers and load ----

    def _definitions(self) -> list[WorkerDefinition]:
        return self.plan.worker_definitions(self.lab.agent.clock(deadline=self._call()).system_time)

    def _create_workers(self, definitions: Sequence[WorkerDefinition]) -> None:
        with self.lab.step("create workers"):
            for definition in definitions:
                created = self.lab.device.create_worker(
                    wait_type=definition.wait_type,
                    wait_mode=definition.wait_mode,
                    altertable=definition.altertable,
                    has_timeout=definition.has_timeout,
                    event_count=definition.event_count,
                    timeout=definition.timeout,
                    notification_mask=definition.notification_mask,
                    initial_state_mask=definition.initial_state_mask,
                    work_microseconds=self.plan.work_us,
                    deadline=self._call(),
                )
                if not created.status.succeeded:
                    raise GuestFault(f"creating worker {definition.worker}: {created.status}")
                self.seen.workers.append(definition)
                if created.worker_id != definition.worker:
                    raise GuestFault(f"worker {definition.worker} was given the id {created.worker_id}")
            self.seen.threads_working = self.lab.threads()

    def _start_load(self) -> None:
        steady = self.plan.load == "steady"
        targets = [{"worker_id": worker, "event_index": event} for worker, event in self.plan.load_targets()]
        started = self.lab.device.start_load(
            threads=self.plan.load_threads if steady else 0,
            rate_per_second=self.plan.rate if steady else 0,
            seed=self.plan.seed,
            flags=0 if steady else _WHILE_STALLED,
            targets=targets,
            deadline=self._call(),
        )
        self.load = int(started.load_id)

    def _run_load(self) -> None:
        """Driver threads signal by themselves; IOCTLs signal as well, once to each worker."""
        with self.lab.step("run load"):
            if self.plan.load == "steady" or len(self.seen.updates) == 1:
                self._signal_all()
            self.lab.interfere("load-running")
            self.lab.pause(self.plan.seconds)

    def _signal_all(self) -> None:
        calls: list[tuple[str, dict[str, Any]]] = []
        for worker in self.seen.workers:
            events = range(worker.event_count) if worker.wait_type != WAIT_ANY else (0,)
            calls += [("signal_event", {"worker_id": worker.worker, "event_index": event}) for event in events]
        for start in range(0, len(calls), _IOCTL_SIGNALS):
            for reply in self.lab.device.batch(calls[start : start + _IOCTL_SIGNALS], deadline=self._call()):
                if not reply.status.succeeded:
                    raise GuestFault(f"signalling an event by IOCTL: {reply.status}")

    def _stop_workers(self) -> None:
        self.lab.interfere("stopping")
        self.seen.middle_counters = counters(self.lab.device.query_counters(deadline=self._call()))
        with self.lab.step("stop workers"):
            self.lab.device.stop_load(load_id=self.load, deadline=self._call())
            for worker in self.seen.workers:
                stopped = self.lab.device.stop_worker(worker_id=worker.worker, deadline=self._call())
                if not stopped.status.succeeded:
                    raise GuestFault(f"stopping worker {worker.worker}: {stopped.status}; its thread did not end")
                self.seen.final_states[worker.worker] = stopped.final_state_mask
            self.seen.all_states_seen = True

    def _call(self) -> Deadline:
        """For one request: a driver that hangs is noticed long before the test's own deadline."""
        return self.deadline.within(_CALL_SECONDS)
