"""What two workers, their signallers and one swap may do: the specification that schedules are drawn from.

Each thread is a generator. It yields the name of every event that it writes, in the driver's own words, or a condition
that it waits for; what lies between two yields is atomic. A thread stops at the events of `PAUSES` until it is stepped.
So a state is: who stands where, who waits, who has ended. The real driver must agree with it after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

PAUSES = frozenset(
    {
        "SignalBegin",  # next: KeSetEvent
        "Woken",  # next: the wrapper is entered, or the call is held
        "CallHeld",  # next: the wait for the release
        "CallResumed",  # next: the wrapper is entered
        "IterationBegin",  # next: the nested wrapper, the work, its return
        "IterationEnd",  # next: the return from the outer wrapper
        "SwapStalled",  # told before it happens; next: the stall
        "StallSet",  # next: drain, callback, switch
        "SwapRolledBack",  # next: the release, in the old version
        "SwapReleased",  # told before it happens; next: the release
        "ReleaseDone",  # next: PostProcess, and what follows from it
    }
)

REFUSALS: Mapping[str, str] = {
    "v2": "",
    "refuse-proxy-stalled": "ProxyStalled",
    "refuse-post-process": "PostProcess",
}
"""Updates that schedules are made of: the phase that each refuses; empty: none."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One swap, and workers that are each signalled so many times. `update` is one of `REFUSALS`."""

    name: str
    signals: tuple[int, ...] = (1, 1)
    update: str = "v2"

    @property
    def refused(self) -> str:
        """The phase in which the update is refused; empty: it is not."""
        return REFUSALS[self.update]

    @property
    def threads(self) -> tuple[str, ...]:
        """Names of all threads: S swaps, W1 is a worker, G1 signals it."""
        workers = range(1, len(self.signals) + 1)
        return ("S", *(f"G{i}" for i in workers), *(f"W{i}" for i in workers))


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("swap"),
        Scenario("signals", (2,)),
        Scenario("stall-refused", (1,), update="refuse-proxy-stalled"),
        Scenario("post-process-refused", (1,), update="refuse-post-process"),
    )
}
"""`swap` is the one that counts: two workers and one swap. The others have what it has not: an event signalled again,
and an update that is refused while calls are held, and after they went on."""

Wait = Callable[[], bool]
Step = str | Wait
Program = Generator[Step, None, None]


@dataclass(slots=True)
class Written:
    """One event: who wrote it, its name, and what it says."""

    thread: str
    event: str
    fields: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.fields.items())
        return f"{self.thread} {self.event}" + (f" ({told})" if told else "")


class Model:
    """A runtime and a sample without a defect. Versions: 1 is in force at first, 2 is what the swap brings."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.log: list[Written] = []
        self.stalled = False
        self.resume = True
        self.calls: dict[str, int] = {}
        """Calls inside, by thread; nested ones counted each."""
        self.held = 0
        """Calls that had to wait in the last stall."""
        self.told_held = 0
        """The same, at the moment of the last release: what the driver's reply says."""
        self.pointers = {"worker": 1, "compute": 1}
        self.in_force = 1
        self.images = {1}
        self.signalled = [False for _ in scenario.signals]
        self.iterations = [0 for _ in scenario.signals]
        self._busy = [False for _ in scenario.signals]
        self.rolled_back = False
        self._programs: dict[str, Program] = {}
        self._at: dict[str, str] = {}
        self._waits: dict[str, Wait] = {}
        self._fields: dict[str, int] = {}
        for name in scenario.threads:
            number = int(name[1:] or 0) - 1
            program = {"S": self.swap, "G": self.signaller, "W": self.worker}[name[0]]
            self._programs[name] = program(name, number)
        for name in scenario.threads:
            self._advance(name)
        self._settle()

    # Scheduling

    @property
    def paused(self) -> dict[str, str]:
        """Threads that stand at a point, and could be stepped: name -> event."""
        return dict(self._at)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Threads that wait for another one."""
        return tuple(sorted(self._waits))

    @property
    def stuck(self) -> tuple[str, ...]:
        """With nobody left to step: threads that wait for what never comes, and not for a signal."""
        idle = {f"W{number + 1}" for number, busy in enumerate(self._busy) if not busy}
        return tuple(name for name in self.waiting if name not in idle)

    def step(self, thread: str) -> None:
        """Let a paused thread go on until it stands at the next point, waits or ends; and those whom it wakes."""
        del self._at[thread]
        self._advance(thread)
        self._settle()

    def _advance(self, thread: str) -> None:
        program = self._programs[thread]
        for said in program:
            if callable(said):
                if said():
                    continue
                self._waits[thread] = said
                return
            self.log.append(Written(thread, said, self._fields))
            self._fields = {}
            if said in PAUSES:
                self._at[thread] = said
                return

    def _settle(self) -> None:
        while ready := [name for name, wait in self._waits.items() if wait()]:
            for name in ready:
                del self._waits[name]
                self._advance(name)

    def say(self, event: str, **fields: int) -> str:
        """An event with its fields."""
        self._fields = fields
        return event

    # The sample

    def signaller(self, thread: str, number: int) -> Program:
        """A thread that signals the only event of one worker."""
        for _ in range(self.scenario.signals[number]):
            yield self.say("SignalBegin", worker=number + 1)
            accepted = not self.signalled[number]
            self.signalled[number] = True
            yield self.say("SignalEnd", worker=number + 1, accepted=accepted)

    def worker(self, thread: str, number: int) -> Program:
        """A hot-swappable worker thread."""
        while True:
            yield lambda: self.signalled[number]
            self.signalled[number] = False
            self._busy[number] = True
            yield self.say("Woken", worker=number + 1)
            yield from self.call(thread, number)
            self._busy[number] = False

    def call(self, thread: str, number: int) -> Program:
        """One iteration: the host's endpoint, and in it that of the endpoint driver, each through its wrapper."""
        yield from self.enter(thread, number)
        version = self.in_force
        self.iterations[number] += 1
        said = {"worker": number + 1, "iteration": self.iterations[number], "version": version}
        yield self.say("IterationBegin", **said)
        yield from self.enter(thread, number)
        ran = self.pointers["worker"]
        if ran not in self.images:
            yield self.say("Crash", worker=number + 1, version=ran)
        yield self.say("EndpointWork", **{**said, "version": ran})
        self.leave(thread)
        yield self.say("IterationEnd", **said)
        self.leave(thread)

    # The runtime

    def enter(self, thread: str, number: int) -> Program:
        """A wrapper is entered: counted, or held while a stall is in force."""
        while self.must_wait(thread):
            self.held += 1
            yield self.say("CallHeld", worker=number + 1)
            yield lambda: self.resume
            yield self.say("CallResumed", worker=number + 1)
        self.calls[thread] = self.calls.get(thread, 0) + 1

    def must_wait(self, thread: str) -> bool:
        """R20, R29."""
        return self.stalled and not self.calls.get(thread)

    def leave(self, thread: str) -> None:
        """A wrapper is left."""
        self.calls[thread] -= 1

    def drained(self) -> bool:
        """R12, R19."""
        return not any(self.calls.values())

    def stall(self) -> Program:
        """Hold new calls, and wait for those inside."""
        self.held = 0
        self.resume = False
        yield self.say("SwapStalled")
        self.stalled = True
        yield self.say("StallSet")
        yield self.drained
        yield self.say("SwapDrained")

    def release(self) -> Program:
        """Let held calls go on."""
        self.told_held = self.held
        yield self.say("SwapReleased")
        self.stalled = False
        self.resume = True
        yield self.say("ReleaseDone")

    def switch(self) -> Program:
        """Point the wrappers at the new version."""
        self.pointers["worker"] = 2
        self.pointers["compute"] = 2
        self.in_force = 2
        yield self.say("SwapSwitched")

    def switch_back(self) -> Program:
        """Point them at the old one again."""
        self.pointers = {"worker": 1, "compute": 1}
        self.in_force = 1
        self.rolled_back = True
        yield self.say("SwapRolledBack")

    def swap(self, thread: str, number: int) -> Program:
        """The update, from the load of the new image to the unload of the one that left."""
        self.images.add(2)
        yield self.say("SwapBegin")
        yield self.say("SwapPreProcess")
        yield from self.phases()
        leaves = 1 if self.in_force == 2 else 2
        self.images.discard(leaves)
        yield self.say("EndpointUnloaded", version=leaves)
        yield self.say("SwapEnd", version=self.in_force)

    def phases(self) -> Program:
        """All that follows on PreProcess."""
        yield from self.stall()
        yield self.say("SwapProxyStalled")
        if self.scenario.refused == "ProxyStalled":
            yield from self.switch_back()
            yield from self.release()
            return
        yield from self.switch()
        yield from self.release()
        yield self.say("SwapPostProcess")
        if self.scenario.refused == "PostProcess":
            yield from self.stall()
            yield from self.switch_back()
            yield from self.release()
