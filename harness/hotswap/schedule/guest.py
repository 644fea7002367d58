"""One schedule after the other on the host driver in a guest: each step is forced, and compared with the model's.

A session is one start of the driver, with its workers; each schedule is one swap of it. What the model says of each
step is known before, so that all steps of a schedule are one request to the guest: release a thread, wait for those who
are to arrive, release the next. A driver that does something else is found by the first step after which not the right
threads stand at the right points; one that hangs, by an arrival that does not come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from hotswap.deadline import Deadline
from hotswap.driver.device import BatchReply
from hotswap.driver.host_replies import UpdateReply
from hotswap.errors import DeadlineExpired, GuestFault, HotswapError, LabFault
from hotswap.schedule.explore import Schedule, named
from hotswap.schedule.judge import judge
from hotswap.schedule.model import PAUSES, Model, Scenario
from hotswap.schedule.trace import logs
from hotswap.testing.driver import Driver
from hotswap.testing.pauses import Paused, Pauses, PauseState
from hotswap.testing.trace import Trace
from hotswap.testing.worker import Worker

HANG_SECONDS = 10.0
"""For what must come in a millisecond. A guard against a hang, and no measure of anything."""

_PROXY_EVENTS = frozenset({"Woken", "CallHeld", "CallResumed", "StallSet", "ReleaseDone"})


class Diverged(GuestFault):
    """In this order of steps the driver does something else than the model, which is the specification."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What is done, and who stands where then."""

    thread: str
    at: str
    paused: dict[str, str]
    arrivals: int


class Session:
    """A driver whose workers are swapped, one schedule after the other."""

    def __init__(
        self,
        driver: Driver,
        scenario: Scenario,
        *,
        make: Callable[[Scenario], Model] = Model,
        hang_seconds: float = HANG_SECONDS,
    ) -> None:
        """`driver` was started, and nothing was done with it. `hang_seconds`: after which a schedule has hung."""
        self.schedules: list[Schedule] = []
        """Those that were run, in order."""
        self._driver = driver
        self._scenario = scenario
        self._hang_seconds = hang_seconds
        self._make = make
        driver.configure(verbose=True)
        # Calls are held for as long as a schedule says.
        driver.hold_budget_ms = 1e9
        driver.load("v1")
        self._in_force = 1
        self._workers: list[Worker] = [driver.create_worker() for _ in scenario.signals]
        self._threads = {worker.thread_id: f"W{at}" for at, worker in enumerate(self._workers, 1)}
        self._signallers = {worker.id: f"G{at}" for at, worker in enumerate(self._workers, 1)}
        self._pauses = Pauses(driver.device)
        self._pauses.arm([_written(event) for event in PAUSES], deadline=_limit())
        self._arrivals = 0

    def run(self, schedule: Schedule) -> None:
        """Force these steps. Diverged when the driver does something else or hangs; the guest is of no use then."""
        try:
            with self._driver._calling("running a schedule"):
                self._run(schedule)
        except (GuestFault, DeadlineExpired) as error:
            self._let_go()
            raise Diverged(f"{error}\nschedule {named(self._scenario, schedule)}") from error
        self.schedules.append(schedule)

    def run_all(self, schedules: Iterable[Schedule]) -> None:
        """As `run`, one after the other."""
        for schedule in schedules:
            self.run(schedule)

    def _let_go(self) -> None:
        with suppress(HotswapError):
            self.end()

    def end(self) -> None:
        """No thread stops any more, so that the driver can be stopped."""
        self._pauses.clear(deadline=_limit())

    def judge(self, trace: Trace) -> list[str]:
        """After the stop: what does not hold of the schedules, by their traces; one sentence each."""
        found = logs(trace.table, self._scenario, [worker.id for worker in self._workers], self._threads)
        if len(found) != len(self.schedules):
            return [f"the trace has {len(found)} schedules, and {len(self.schedules)} were run"]
        return [
            f"{problem}\nschedule {named(self._scenario, schedule)}"
            for schedule, log in zip(self.schedules, found, strict=True)
            for problem in judge(self._scenario, log)
        ]

    # One schedule

    def _run(self, schedule: Schedule) -> None:
        model = self._make(self._scenario)
        loads = self._start_signallers()
        swap = self._driver.begin_swap(self._update, look=False)
        state = self._begin(model)
        standing = {self._name(paused): paused.thread for paused in state.waiting}
        standing |= {name: thread for thread, name in self._threads.items()}
        self._force(list(self._plan(model, schedule)), standing)
        if model.paused or model.stuck:
            raise LabFault(f"{named(self._scenario, schedule)} is no whole schedule: {_standing(model.paused)}")
        self._end(model, swap.result().reply)
        self._driver.device.batch([("stop_load", {"load_id": load}) for load in loads], deadline=_limit())

    def _start_signallers(self) -> list[int]:
        """Threads of the driver, which come to a point before their first signal."""
        calls = [
            ("start_load", {"threads": 1, "signal_limit": signals, "target_count": 1, "targets": [(worker.id, 0)]})
            for worker, signals in zip(self._workers, self._scenario.signals, strict=True)
        ]
        return [reply.reply.load_id for reply in self._whole(self._driver.device.batch(calls, deadline=_limit()))]

    @property
    def _update(self) -> str:
        """Back and forth: what the model calls version 2 is the one that is not in force."""
        return "v1" if self._in_force == 2 else self._scenario.update

    def _begin(self, model: Model) -> PauseState:
        self._arrivals += len(model.paused)
        try:
            state = self._pauses.wait(self._arrivals - 1, deadline=_limit())
        except DeadlineExpired:
            state = self._query()
        self._compare(state, model.paused, "at the beginning")
        return state

    def _plan(self, model: Model, schedule: Schedule) -> Iterable[_Step]:
        """Steps the model through the schedule."""
        for thread in schedule:
            before = {name: event for name, event in model.paused.items() if name != thread}
            if thread not in model.paused:
                raise LabFault(f"{thread} cannot be stepped: {_standing(model.paused)}")
            at = model.paused[thread]
            model.step(thread)
            # Whoever stands now and did not stand there before arrives by this step.
            arrivals = sum(1 for name in model.paused if name not in before)
            yield _Step(thread, at, model.paused, arrivals)

    def _force(self, steps: list[_Step], standing: dict[str, int]) -> None:
        calls: list[tuple[str, dict[str, object]]] = []
        for step in steps:
            self._arrivals += step.arrivals
            calls.append(("pause_release", {"thread_id": standing[step.thread]}))
            if step.arrivals:
                calls.append(("pause_wait", {"arrivals": self._arrivals - 1}))
        try:
            limit = Deadline.after(self._hang_seconds)
            replies = iter(self._driver.device.batch(calls, stop_on_error=True, deadline=limit))
        except DeadlineExpired:
            raise Diverged(f"no answer to {len(steps)} steps: {self._told(self._query(), steps[-1].paused)}") from None
        done: list[str] = []
        for step in steps:
            done.append(f"{step.thread} from {step.at}")
            reply = next(replies)
            reply = next(replies) if step.arrivals else reply
            told = f"after {done[-1]} (step {len(done)}: {'; '.join(done)})"
            if not reply.status.succeeded:
                raise Diverged(
                    f"{told}: nobody came, {self._told(self._query(), step.paused)} (steps: {'; '.join(done)})"
                )
            self._compare(self._pauses.state(reply.reply), step.paused, f"{told} (steps: {'; '.join(done)})")

    def _query(self) -> PauseState:
        return self._pauses.query(deadline=_limit())

    @staticmethod
    def _whole(replies: tuple[BatchReply, ...]) -> tuple[BatchReply, ...]:
        for reply in replies:
            if reply.reply is None:
                raise GuestFault(f"{reply.method}: {reply.status}")
        return replies

    def _compare(self, state: PauseState, paused: dict[str, str], when: str) -> None:
        if self._seen(state) != paused:
            raise Diverged(f"{when}: {self._told(state, paused)}")

    def _seen(self, state: PauseState) -> dict[str, str]:
        return {self._name(paused): paused.event.removeprefix("Proxy") for paused in state.waiting}

    def _told(self, state: PauseState, paused: dict[str, str]) -> str:
        return f"the driver has {_standing(self._seen(state))}, and should have {_standing(paused)}"

    def _end(self, model: Model, reply: UpdateReply) -> None:
        refused = self._scenario.refused
        in_force = self._in_force if refused else 3 - self._in_force
        told = (
            bool(reply.rolled_back),
            reply.status.succeeded,
            reply.unload_status.succeeded,
            reply.held_calls,
            reply.to_version,
        )
        wanted = (model.rolled_back, not refused, True, model.told_held, in_force)
        if told != wanted:
            words = ("rolled back", "success", "unloaded", "held calls", "version")
            wrong = [f"{w} {t}, not {m}" for w, t, m in zip(words, told, wanted, strict=True) if t != m]
            raise Diverged(f"the swap's reply says {', '.join(wrong)}: {reply}")
        self._in_force = in_force

    def _name(self, paused: Paused) -> str:
        """Which of the model's threads this one is. One that signals is known by whom it signals."""
        if paused.event == "SignalBegin":
            return self._signallers.get(paused.key, "?")
        return self._threads.get(paused.thread, "S")


def _written(event: str) -> str:
    """The model's name of an event as the host writes it."""
    return f"Proxy{event}" if event in _PROXY_EVENTS else event


def _standing(paused: dict[str, str]) -> str:
    return ", ".join(f"{name} at {event}" for name, event in sorted(paused.items())) or "nobody at any point"


def _limit() -> Deadline:
    return Deadline.after(HANG_SECONDS)
