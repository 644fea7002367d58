"""The host driver of one test: workers, swaps and load, and what is seen of them on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from hotswap.deadline import Deadline
from hotswap.driver.device import PendingReply
from hotswap.driver.host_device import HostDevice, HostFaultName, RuntimeName, Targets, WaitName
from hotswap.driver.host_replies import Counters, Runtime, UpdateReply, VersionInfo, typed
from hotswap.driver.package import DeployedImage, resolve_update
from hotswap.errors import GuestFault, UsageError
from hotswap.run import RunFolder
from hotswap.swap.lab import Lab
from hotswap.swap.observe import Observations, counters
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.testing.arguments import worker_definition
from hotswap.testing.guest import GuestMachine
from hotswap.testing.pauses import Pauses
from hotswap.testing.point import Point, key_of
from hotswap.testing.swap import PendingSwap, Swap
from hotswap.testing.trace import plain
from hotswap.testing.watch import HostWatch
from hotswap.testing.worker import Access, Load, Worker
from hotswap.trace.rules.pattern import Pattern as EventPattern
from hotswap.transport.agent import Agent

_WHILE_STALLED = 1
_CLOCK_SECONDS = 5.0


class Driver:
    """The host driver, freshly started, with the trace running. `stop` ends it and takes the trace out.

    Whatever the guest refuses is a GuestFault that says what was attempted and what came back; so is the death of the
    driver host, in whatever call it shows. Bad arguments are a UsageError.
    """

    def __init__(self, guest: GuestMachine, lab: Lab, run: RunFolder) -> None:
        self._guest = guest
        self._lab = lab
        self.run = run
        self.workers: list[Worker] = []
        self.swaps: list[Swap] = []
        self.loads: list[Load] = []
        self._seen = Observations()
        self._watch = HostWatch(lab, self._seen)
        self.final: Counters | None = None
        self.hold_budget_ms = 1000.0
        """How long a swap may hold calls, for the expectation hold-time-in-budget."""
        self._pending: dict[PendingSwap, DeployedImage] = {}
        self._asked_swaps = 0
        self._points: list[Point] = []
        self._host_fault: HostFaultName = "none"
        self._tick_frequency = self.device.get_version(deadline=self._watch.limit()).tick_frequency
        self._asked_runtime: RuntimeName = "auto"
        self._runtime_in_use: str | None = None
        """The name of the runtime that the driver chose; None: nothing needed one yet."""
        self._access = Access(lambda: self.device, self._watch.calling, self._watch.limit, lab.machine.slowdown)

    # The driver itself

    @property
    def device(self) -> HostDevice:
        """The open device: one typed method per IOCTL. UsageError after `stop`."""
        if self._watch.stopped:
            raise UsageError("the driver was stopped: driver.stop() ends what a test can do with it")
        return self._lab.device

    @property
    def agent(self) -> Agent:
        """The agent in the guest: files, services, modules, processes."""
        return self._lab.agent

    @property
    def version(self) -> int:
        """The version in force; 0: none."""
        with self._watch.calling("reading the version"):
            return self.device.get_version(deadline=self._watch.limit()).current_version

    @property
    def runtime(self) -> Runtime:
        """Who implements the DriverProxy API; AUTO until the first worker or swap needs one."""
        with self._watch.calling("reading the runtime"):
            return self.device.get_version(deadline=self._watch.limit()).runtime

    def counters(self) -> Counters:
        """What the driver and the runtime hold now, and totals since the start."""
        with self._watch.calling("reading the counters"):
            return self.device.query_counters(deadline=self._watch.limit())

    def configure(
        self,
        *,
        runtime: RuntimeName = "auto",
        ring_slots: int = 0,
        drain_timeout_ms: int = 0,
        invert_return: bool = False,
        host_fault: HostFaultName = "none",
        verbose: bool = False,
    ) -> VersionInfo:
        """Choose a runtime, the trace ring (in events), the drain limit, and how the host is broken on purpose.

        `verbose`: the runtime's fine steps are events as well, `ProxyWoken` to `ProxyReleaseDone`.

        Only before the first worker and the first swap; GuestFault later. Zero stands for the default.
        """
        with self._watch.calling("configuring the driver"):
            info = self.device.configure(
                runtime=runtime,
                ring_slots=ring_slots,
                drain_timeout_ms=drain_timeout_ms,
                invert_return=invert_return,
                host_fault=host_fault,
                verbose=verbose,
                deadline=self._watch.limit(),
            )
        self._asked_runtime = runtime
        self._host_fault = host_fault
        return info

    # Endpoint drivers

    def load(self, driver: str | Path) -> Swap:
        """As `swap`, for what a test begins with: GuestFault when it does not come into force."""
        swap = self.swap(driver)
        if not swap.succeeded:
            raise GuestFault(f"loading {driver} failed: {swap}")
        return swap

    def swap(self, driver: str | Path, *, drain_timeout_ms: int = 0) -> Swap:
        """Swap in an endpoint driver: a name (`v2`; `hotswap swap --list` has them), or the path of a .sys file.

        It is copied into the guest first when it is not there yet. A swap that the driver refuses is an answer, not an
        error: look at `succeeded`, `refused`, `rolled_back` and `status`. `drain_timeout_ms`: 0 is the default.
        """
        return self.begin_swap(driver, drain_timeout_ms=drain_timeout_ms).result()

    def begin_swap(self, driver: str | Path, *, drain_timeout_ms: int = 0, look: bool = True) -> PendingSwap:
        """Ask for a swap and go on at once: to signal, create and stop workers, or ask for another, in the meantime.

        `look`: see afterwards which images are loaded. That takes longer than the swap.
        """
        name = str(driver)
        image = self._deploy(name)
        assert image.service is not None
        with self._watch.calling(f"swapping in {name}"):
            pending = self.device.begin(
                "update",
                service_name=image.service,
                drain_timeout_ms=drain_timeout_ms,
                deadline=self._watch.limit(),
            )
        self._asked_swaps += 1
        swap = PendingSwap(
            name,
            self._asked_swaps,
            finish=lambda: self._end_swap(swap, image, pending, drain_timeout_ms, look=look),
            done=lambda: pending.done,
            holds=lambda: self.counters().proxy_held_calls > 0,
            slowdown=self._lab.machine.slowdown,
        )
        self._pending[swap] = image
        return swap

    def _calling(self, what: str) -> AbstractContextManager[None]:
        """For calls of `device`: what fails because the driver died, or hangs, becomes a GuestFault that says so."""
        return self._watch.calling(what)

    def _deploy(self, name: str) -> DeployedImage:
        wanted = resolve_update(self._guest.build, name).host_fault
        if wanted and wanted != self._host_fault:
            raise UsageError(f"{name} needs a host that is broken: driver.configure(host_fault={wanted!r}) before")
        in_force = [] if self._seen.in_force is None else [self._seen.in_force]
        with self._watch.calling(f"copying {name} into the guest"):
            return self._guest.deploy(name, beside=[*in_force, *self._pending.values()])

    def _end_swap(
        self, asked: PendingSwap, image: DeployedImage, pending: PendingReply, drain_timeout_ms: int, *, look: bool
    ) -> Swap:
        for earlier in list(self._pending):
            if earlier is asked:
                break
            # The driver takes them one after the other, and so what is in force follows from all of them.
            earlier.result()
        try:
            with self._watch.calling(f"swapping in {asked.driver}"):
                # A drain that never ends is given up by the driver itself, so this much more is the driver hanging.
                patience = self._watch.limit().remaining + drain_timeout_ms / 1000
                answer = pending.result(Deadline.after(patience))
        finally:
            del self._pending[asked]
        reply = typed(UpdateReply, answer)
        self.run.timeline.event("update", driver=asked.driver, reply=reply)
        self._seen.note_update(answer, image, exercised=bool(self._running_loads()))
        swap = Swap(asked.driver, image, reply, self._tick_frequency, asked.number)
        self.swaps.append(swap)
        if look and not self._pending:
            # With another swap under way nobody can say which images there should be.
            self._look(f"after {swap}", self._seen.image_in_force, host_loaded=True)
        return swap

    # Workers and load

    def create_worker(
        self,
        events: int = 1,
        *,
        wait: WaitName = "any",
        timeout_ms: float | None = None,
        expires_at: int | None = None,
        notification: Collection[int] = (),
        signalled: Collection[int] = (),
        work_us: int = 0,
        alertable: bool = False,
        user_mode: bool = False,
    ) -> Worker:
        """Create a hot-swappable worker thread that waits for its events, numbered from 0.

        `wait`: for any of them, or for all. `timeout_ms` is relative, `expires_at` absolute (file time, see
        `guest_time`). `notification`: events that stay signalled until they are cleared. `signalled`: events that are
        signalled from the start. `work_us`: how long one iteration works. UsageError for what cannot be, and when no
        endpoint driver was loaded; GuestFault when the driver refuses.
        """
        asked = worker_definition(
            events,
            self._guest.build.ioctl.constants["HOTSWAP_MAX_EVENTS"],
            wait=wait,
            timeout_ms=timeout_ms,
            expires_at=expires_at,
            notification=notification,
            signalled=signalled,
            alertable=alertable,
            user_mode=user_mode,
        )
        if self._seen.in_force is None and not self._pending and not self.version:
            raise UsageError('no endpoint driver is loaded: driver.load("v1"), say, comes before the first worker')
        with self._watch.calling(f"creating a worker that waits for {wait} of {events} events"):
            if not self.workers:
                self._seen.threads_baseline = self._lab.threads()
            created = self.device.create_worker(
                wait_type=asked.wait_type,
                wait_mode=asked.wait_mode,
                altertable=asked.altertable,
                has_timeout=asked.has_timeout,
                event_count=events,
                timeout=asked.timeout,
                notification_mask=asked.notification_mask,
                initial_state_mask=asked.initial_state_mask,
                work_microseconds=work_us,
                deadline=self._watch.limit(),
            )
        if not created.status.succeeded:
            raise GuestFault(f"creating a worker that waits for {wait} of {events} events: {created.status}")
        definition = replace(asked, worker=created.worker_id)
        worker = Worker(self._access, created, definition)
        self.workers.append(worker)
        self._seen.workers.append(definition)
        self._seen.threads_working = max(self._seen.threads_working or 0, self._lab.threads() or 0) or None
        self._seen.middle_counters = counters(self.counters())
        return worker

    def start_load(
        self,
        workers: Sequence[Worker] | None = None,
        *,
        rate: int = 2000,
        threads: int = 2,
        seed: int = 1,
        limit: int = 0,
        targets: Targets | None = None,
        while_stalled: bool = False,
    ) -> Load:
        """Let threads of the driver signal the events of these workers (None: of all).

        `rate`: signals per second over all threads, 0: as fast as it goes. `limit` of signals, 0: none.
        `targets`: (worker id, event) pairs instead of all events. `while_stalled`: no threads; each event is signalled
        once per swap, at the moment when calls are held and none is inside.
        """
        chosen = self.workers if workers is None else workers
        if targets is None:
            targets = [
                (worker.id, event)
                for worker in chosen
                if worker.stopped is None
                for event in range(worker.definition.event_count)
            ]
        with self._watch.calling("starting a load"):
            started = self.device.start_load(
                threads=0 if while_stalled else threads,
                rate_per_second=0 if while_stalled else rate,
                seed=seed,
                signal_limit=0 if while_stalled else limit,
                flags=_WHILE_STALLED if while_stalled else 0,
                targets=targets,
                deadline=self._watch.limit(),
            )
        load = Load(self._access, started.load_id)
        self.loads.append(load)
        if self._seen.exercised and not while_stalled:
            self._seen.exercised[-1] = True
        return load

    # Schedules

    def at(self, point: str | EventPattern, *, nth: int = 1) -> Point:
        """Stop whoever writes this trace event, `event("IterationBegin", worker=2)`, the nth time from now on.

            with driver.at(event("IterationBegin", worker=2), nth=3):
                swap = driver.begin_swap("v2")

        In the block the thread stands right after the event, which is in the trace; at its end it goes on. Any event of
        the host driver is a point; those of the runtime, `ProxyWoken` and the like, after `configure(verbose=True)`.
        """
        name, fields = plain(point)
        if nth < 1:
            raise UsageError(f"nth is {nth}; it is a number from 1 on")
        armed = Point(
            Pauses(self.device),
            self._calling,
            self._last_seen,
            name,
            key_of(name, fields),
            nth,
            slowdown=self._lab.machine.slowdown,
        )
        self._points.append(armed)
        return armed

    def _last_seen(self, worker: int) -> str:
        info = self.device.query_worker(worker, deadline=self._watch.limit())
        waited = f", its last wait returned {info.last_wait_status}" if info.iterations else ""
        return f"worker {worker} is {info.state.name.lower()} and has begun {info.iterations} iterations{waited}"

    def let_run(self, seconds: float) -> None:
        """Let the guest run this long, under load for example. GuestFault at once when the driver host dies."""
        with self._watch.calling(f"running for {seconds:g} s"):
            self._lab.pause(seconds)

    def guest_time(self) -> int:
        """The guest's system time as a file time (100 ns since 1601), for `create_worker(expires_at=...)`."""
        with self._watch.calling("reading the guest's clock"):
            return self.agent.clock(deadline=self._watch.limit()).system_time

    def _running_loads(self) -> list[Load]:
        return [load for load in self.loads if load.stopped is None]

    # The end

    @property
    def stopped(self) -> bool:
        """Whether the driver was stopped and the trace is complete."""
        return self._watch.stopped

    def stop(self) -> Counters | None:
        """Stop loads, workers and the driver, and take the trace out: from now on `trace` can be read.

        Returns the driver's last counters; None when they could not be had. May be repeated. Raises GuestFault when the
        driver host died or a worker does not end; the trace is there all the same.
        """
        fault = self._finish()
        if fault is not None:
            raise fault
        return self.final

    def _finish(self) -> GuestFault | None:
        """As `stop`, but returns what that raises; None too when it was done before."""
        fault: GuestFault | None = None
        if self._watch.stopped:
            return None
        if self._death is not None and self._watch.death_told:
            self._close()
            return None
        try:
            if self._points and self._death is None:
                # A thread that stands at a point does not end.
                Pauses(self.device).clear(deadline=self._watch.limit())
            # Whatever does not end, the rest is ended all the same.
            for step, action in (("stop workers", self._stop_workers), ("shut the driver down", self._shut_down)):
                try:
                    with self._lab.step(step), self._watch.calling(step):
                        action()
                except GuestFault as error:
                    fault = fault or error
                    if self._death is None:
                        self._seen.faults.append(str(error))
        except UsageError as error:
            # The test closed the device itself.
            self.run.timeline.event("not-stopped", reason=str(error))
        finally:
            self._close()
        return fault

    def _stop_workers(self) -> None:
        for swap in list(self._pending):
            swap.result()
        for load in self._running_loads():
            load.stop()
        for worker in self.workers:
            self._seen.final_states[worker.id] = worker.stop().final_state_mask
        self._seen.all_states_seen = True

    def _shut_down(self) -> None:
        chosen = self.device.get_version(deadline=self._watch.limit()).runtime
        self._runtime_in_use = None if chosen is Runtime.AUTO else chosen.name.lower()
        self.final = self._lab.shutdown(deadline=self._watch.limit())
        self._seen.final_counters = counters(self.final)
        if self._seen.threads_baseline is not None:
            self._seen.threads_stopped = self._lab.settled_threads(self._seen.threads_baseline)

    def _close(self) -> None:
        self._watch.stopped = True
        self._seen.note_clock(self._lab, Deadline.after(_CLOCK_SECONDS * self._lab.machine.slowdown))
        self._seen.note_host(self._lab)
        self._seen.closed = self._lab.close()
        if self._seen.host_alive is not False:
            self._seen.faults.extend(self._seen.closed.faults)
        if self._seen.final_counters is not None:
            self._look("after the stop", "", host_loaded=False)

    def _look(self, point: str, image: str, *, host_loaded: bool) -> None:
        """Which images are loaded, and which should be."""
        self._seen.looks += 1
        limit = self._watch.limit()
        self._seen.snapshots.append(self._lab.snapshot(point, image, host_loaded=host_loaded, deadline=limit))

    def __repr__(self) -> str:
        state = "stopped" if self._watch.stopped else "running"
        return f"<driver {state}: {len(self.workers)} workers, {len(self.swaps)} swaps, run {self.run.path.name}>"

    # For the plugin and the trace: what begins with an underscore is not for tests

    @property
    def _restart(self) -> bool:
        """Whether updates are made by restart (runtime plain)."""
        return self._asked_runtime == "plain"

    def _witnesses(self) -> SwapWitnesses:
        """What the expectations get to see besides the trace."""
        seen = self._seen.witnesses(self._lab.package, self.hold_budget_ms)
        return replace(
            seen,
            # None stands for "not known": but that there were none is known here.
            workers=tuple(self._seen.workers),
            updates=tuple(self._seen.updates),
        )

    @property
    def _death(self) -> str | None:
        """How the driver host died; None while it lives, or when it ended because it was asked to."""
        return self._watch.death

    @property
    def _death_told(self) -> bool:
        """Whether the test has got a GuestFault for it."""
        return self._watch.death_told
