"""A synthetic swap run: a small simulation of the host driver that writes its events and witnesses, and mutations."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from hotswap.swap.expectations import evaluate
from hotswap.swap.lab import HOST_OBJECTS
from hotswap.swap.swaps import Outcome
from hotswap.swap.witnesses import (
    WAIT_ALL,
    WAIT_ANY,
    ImageSnapshot,
    RingStats,
    SwapWitnesses,
    ThreadCounts,
    UpdateReply,
    WorkerDefinition,
)
from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.expect import ExpectationResult
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl
from support.event_list import host_events, provider_guid_bytes, provider_name

CONTROL, IOCTL, LOAD = 100, 101, 200
IMAGES = {1: "hotswap_v1.sys", 2: "hotswap_v2.sys"}
HOST_IMAGES = ("hotswap.sys", "driverproxy.sys")
SERVICED = {"hotswap.sys", *IMAGES.values()}
TIMEOUT = 0x102

WORKERS = (
    WorkerDefinition(1, WAIT_ANY, 2),
    WorkerDefinition(2, WAIT_ALL, 2),
    WorkerDefinition(3, WAIT_ANY, 3, has_timeout=True, timeout=-10_000),
    WorkerDefinition(4, WAIT_ANY, 2, notification_mask=0b10),
    WorkerDefinition(5, WAIT_ANY, 1, initial_state_mask=1),
    WorkerDefinition(6, WAIT_ALL, 2, notification_mask=0b10),
)


@dataclass
class Event:
    tick: int
    cpu: int
    tid: int
    name: str
    fields: dict[str, int]

    def __getitem__(self, key: str) -> int:
        return self.fields[key]


@dataclass
class Run:
    """Events and witnesses of one run; mutations change them, `evaluate` asks the expectations."""

    events: list[Event]
    witnesses: SwapWitnesses
    session: Session = field(default_factory=lambda: Session(processors=2))
    keep_ring: bool = False
    """The ring witness is as a mutation made it, instead of agreeing with the events."""

    def find(self, name: str, **fields: int) -> list[Event]:
        return [e for e in self.events if e.name == name and all(e.fields.get(k) == v for k, v in fields.items())]

    def first(self, name: str, **fields: int) -> Event:
        return self.find(name, **fields)[0]

    def remove(self, *gone: Event) -> None:
        self.events = [e for e in self.events if not any(e is g for g in gone)]

    def copy(self, event: Event, **changes: int) -> Event:
        twin = Event(event.tick, event.cpu, event.tid, event.name, dict(event.fields))
        twin.tick = changes.pop("tick", event.tick + 1)
        twin.fields.update(changes)
        self.events.append(twin)
        return twin

    def iteration(self, begin: Event) -> list[Event]:
        """Begin, work and end of the iteration that an IterationBegin starts."""
        key = {"Worker": begin["Worker"], "Iteration": begin["Iteration"]}
        return [begin, *self.find("EndpointWork", **key), *self.find("IterationEnd", **key)]

    def remove_iteration(self, begin: Event) -> None:
        """As if it had never happened: later iterations of the worker move up."""
        self.remove(*self.iteration(begin))
        for event in self.events:
            if (
                event.name in ("IterationBegin", "IterationEnd", "EndpointWork")
                and event["Worker"] == begin["Worker"]
                and event["Iteration"] > begin["Iteration"]
            ):
                event.fields["Iteration"] -= 1

    def witness(self, **changes: object) -> None:
        self.witnesses = dataclasses.replace(self.witnesses, **changes)

    def recount(self) -> None:
        """Make all counters agree with the events, as those of a driver that did what the trace shows."""
        for stop in self.find("HostStop"):
            stop.fields |= {"Iterations": len(self.find("IterationBegin")), "Signals": len(self.find("SignalEnd"))}
        for stop in self.find("WorkerStop"):
            stop.fields["Iterations"] = len(self.find("IterationBegin", Worker=stop["Worker"]))
        for stop in self.find("LoadStop"):
            signals = self.find("SignalEnd", Source=1)
            stop.fields |= {"Signals": len(signals), "Accepted": sum(e["PreviousState"] == 0 for e in signals)}
        final = dict(self.witnesses.final_counters or {})
        for stop in self.find("HostStop"):
            final |= {"Iterations": stop["Iterations"], "Signals": stop["Signals"]}
        self.witness(final_counters=final)

    def etl(self) -> EtlFile:
        return parse_etl(self.to_bytes())

    def rows(self) -> list[EventRow]:
        """The events in time order, to be written."""
        known, provider = host_events(), Provider(provider_name(), UUID(bytes_le=provider_guid_bytes()))
        return [
            EventRow(
                event.tick,
                event.cpu,
                1234,
                event.tid,
                provider,
                known[event.name].schema,
                event.fields,
                known[event.name].level,
                known[event.name].opcode,
                known[event.name].keyword,
            )
            for event in sorted(self.events, key=lambda e: e.tick)
        ]

    def to_bytes(self) -> bytes:
        """The events as a trace file."""
        return build_etl(self.rows(), self.session)

    def evaluate(self) -> dict[str, ExpectationResult]:
        if not self.keep_ring:
            self.witness(ring=RingStats(len(self.events), 0, len(self.events)))
        return {result.id: result for result in evaluate(self.etl(), self.witnesses)}


class Simulation:
    """Workers, events and swaps with the semantics of the kernel; `write` keeps what the host would trace."""

    def __init__(self, seed: int = 1, workers: tuple[WorkerDefinition, ...] = WORKERS) -> None:
        self.random = random.Random(seed)
        self.now = 1000
        self.events: list[Event] = []
        self.workers = {worker.worker: worker for worker in workers}
        self.state = {(w.worker, i): bool(w.initial_state_mask >> i & 1) for w in workers for i in range(w.event_count)}
        self.signals = dict.fromkeys(self.state, 0)
        self.iterations = dict.fromkeys(self.workers, 0)
        self.version = 0
        self.swaps = 0
        self.updates: list[UpdateReply] = []

    def write(self, name: str, tid: int, **fields: int) -> Event:
        self.now += self.random.randint(1, 20)
        event = Event(self.now, self.random.randint(0, 1), tid, name, fields)
        self.events.append(event)
        return event

    def thread(self, worker: int) -> int:
        return 300 + worker

    def start(self) -> None:
        self.write("HostStart", CONTROL, ContractVersion=1, RingSlots=65536, TickFrequency=10_000_000)
        self.write("RuntimeChosen", CONTROL, Runtime=2, Status=0xC000007A, MissingMask=0x7F, FeatureFlags=0)
        self.swap(1)
        for worker in self.workers.values():
            self.write("WorkerThreadStart", self.thread(worker.worker), **self._thread_fields(worker.worker))
            self.write(
                "WorkerCreate",
                CONTROL,
                **self._thread_fields(worker.worker),
                WaitType=worker.wait_type,
                WaitReason=0,
                WaitMode=worker.wait_mode,
                Altertable=worker.altertable,
                HasTimeout=worker.has_timeout,
                Timeout=worker.timeout,
                EventCount=worker.event_count,
                NotificationMask=worker.notification_mask,
                InitialStateMask=worker.initial_state_mask,
                Status=0,
            )
        self.write("LoadStart", CONTROL, Load=1, Threads=2, RatePerSecond=1000, Seed=7)

    def _thread_fields(self, worker: int) -> dict[str, int]:
        return {"Worker": worker, "WorkerThreadId": self.thread(worker)}

    def signal(self, worker: int, event: int, *, source: int = 1, between: Callable[[], None] | None = None) -> int:
        """KeSetEvent; `between` runs after it and before SignalEnd, as another thread may."""
        key = (worker, event)
        self.signals[key] += 1
        tid = LOAD + self.random.randint(0, 1) if source == 1 else CONTROL
        fields = {"Worker": worker, "EventIndex": event, "Signal": self.signals[key], "Source": source}
        self.write("SignalBegin", tid, **fields)
        previous, self.state[key] = int(self.state[key]), True
        if between:
            between()
        self.write("SignalEnd", tid, **fields, PreviousState=previous)
        return previous

    def clear(self, worker: int, event: int) -> None:
        previous, self.state[worker, event] = int(self.state[worker, event]), False
        self.write("EventClear", IOCTL, Worker=worker, EventIndex=event, PreviousState=previous)

    def wait(self, worker: int, *, timeout: bool = False) -> int | None:
        """What the wait of a worker returns now; None: it goes on waiting."""
        definition = self.workers[worker]
        set_events = [i for i in range(definition.event_count) if self.state[worker, i]]
        if definition.wait_type == WAIT_ALL:
            taken = set_events if len(set_events) == definition.event_count else []
        else:
            taken = set_events[:1]
        if not taken:
            return TIMEOUT if timeout and definition.has_timeout else None
        for event in taken:
            if not definition.notification_mask >> event & 1:
                self.state[worker, event] = False
        return 0 if definition.wait_type == WAIT_ALL else taken[0]

    def iterate(
        self, worker: int, status: int | None, *, during: Callable[[], None] | None = None, more: int = 1
    ) -> None:
        if status is None:
            return
        self.iterations[worker] += 1
        fields = {"Worker": worker, "Iteration": self.iterations[worker], "Version": self.version, "WaitStatus": status}
        tid = self.thread(worker)
        self.write("IterationBegin", tid, **fields)
        if during:
            during()
        self.write("EndpointWork", tid, **fields, Result=self.iterations[worker] ** self.version)
        self.write("IterationEnd", tid, **fields, Continue=more)

    def run(self, worker: int, *, timeout: bool = False) -> bool:
        status = self.wait(worker, timeout=timeout)
        self.iterate(worker, status)
        return status is not None

    def load(self, rounds: int) -> None:
        """Signals in random order, some while the event is still set or while the iteration runs; waits that expire."""
        pick = self.random.choice
        for _ in range(rounds):
            worker, event = pick(list(self.state))
            notification = self.workers[worker].notification_mask >> event & 1
            how = self.random.random()
            if how < 0.2:
                self.signal(worker, event, between=lambda w=worker: self.run(w))  # type: ignore[misc]
            elif how < 0.4:
                self.signal(worker, event)
                self.signal(worker, event)
            else:
                self.signal(worker, event)
            if how > 0.9:
                status = self.wait(worker)
                self.iterate(worker, status, during=lambda w=worker, e=event: self.signal(w, e))  # type: ignore[misc]
            while self.run(worker):
                if notification or any(self.state[worker, e] for e in self._notifications(worker)):
                    for e in self._notifications(worker):
                        self.clear(worker, e)
            if self.random.random() < 0.1:
                self.run(3, timeout=True)

    def _notifications(self, worker: int) -> Iterator[int]:
        definition = self.workers[worker]
        return (e for e in range(definition.event_count) if definition.notification_mask >> e & 1)

    def swap(self, to: int) -> None:
        """A swap under load: worker 1 and 2 are held with their wait done, and signalled again meanwhile."""
        origin, self.swaps = self.version, self.swaps + 1
        fields = {"Swap": self.swaps, "FromVersion": origin, "ToVersion": to, "Status": 0}
        held: list[tuple[int, int | None]] = []
        if to:
            self.write("EndpointLoaded", CONTROL, Version=to, EndpointCount=2, Status=0)
        self.write("SwapBegin", CONTROL, **fields)
        if origin and 1 in self.workers:
            self.signal(1, 0)
        self.write("SwapPreProcess", CONTROL, **fields)
        self.write("SwapStalled", CONTROL, **fields)
        if origin and 1 in self.workers:
            held.append((1, self.wait(1)))
            self.write("SwapFirstHeld", self.thread(1), **fields)
            self.signal(1, 0)
        self.write("SwapDrained", CONTROL, **fields)
        self.write("SwapProxyStalled", CONTROL, **fields)
        if origin and 2 in self.workers:
            self.signal(2, 0)
            self.signal(2, 1)
            held.append((2, self.wait(2)))
        self.write("SwapSwitched", CONTROL, **fields)
        self.version = to
        self.write("SwapReleased", CONTROL, **fields)
        for worker, status in held:
            self.iterate(worker, status)
        self.write("SwapPostProcess", CONTROL, **fields)
        if origin:
            self.unload(origin)
        self.write("SwapEnd", CONTROL, **fields, HeldCalls=len(held))
        self.updates.append(UpdateReply(0, origin, to, held_calls=len(held)))

    def unload(self, version: int) -> None:
        self.write("EndpointUnloaded", CONTROL, Version=version, Status=0)
        nothing = dict.fromkeys(("PoolBlocks", "PoolBytes", "Threads", "Events", "Handles", "References"), 0)
        self.write("EndpointVerified", CONTROL, Version=version, Status=0, Imports=5, Calls=3, **nothing)

    def refused_swap(self, to: int, outcome: Outcome) -> None:
        """A swap that does not succeed: phases as the runtime goes through them, nothing changes."""
        origin, self.swaps = self.version, self.swaps + 1
        status = {Outcome.ENDPOINTS: 0xC00000F1, Outcome.NOT_DRAINED: 0xC0000001}.get(outcome, 0xC00000A3)
        steps = {
            Outcome.ENDPOINTS: [],
            Outcome.PRE_PROCESS: ["PreProcess!"],
            Outcome.NOT_DRAINED: ["PreProcess", "Stalled", "Drained!", "RolledBack", "Released"],
            Outcome.PROXY_STALLED: ["PreProcess", "Stalled", "Drained", "ProxyStalled!", "RolledBack", "Released"],
            Outcome.POST_PROCESS: [
                *("PreProcess", "Stalled", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess!"),
                *("Stalled", "Drained", "RolledBack", "Released"),
            ],
        }[outcome]
        fields = {"Swap": self.swaps, "FromVersion": origin, "ToVersion": to, "Status": 0}
        self.write("EndpointLoaded", CONTROL, Version=to, EndpointCount=2, Status=0)
        self.write("SwapBegin", CONTROL, **fields)
        for step in steps:
            failed = {"Status": 0x102 if outcome is Outcome.NOT_DRAINED else status} if step.endswith("!") else {}
            self.write(f"Swap{step.rstrip('!')}", CONTROL, **fields | failed)
        self.unload(to)
        self.write("SwapEnd", CONTROL, **fields | {"ToVersion": origin, "Status": status}, HeldCalls=0)
        self.updates.append(UpdateReply(status, origin, origin, rolled_back="RolledBack" in steps))

    def stop(self) -> None:
        self.write("LoadStop", CONTROL, Load=1, Signals=0, Accepted=0)
        for worker in self.workers.values():
            for event in range(worker.event_count if worker.wait_type == WAIT_ALL else 1):
                self.signal(worker.worker, event, source=2)
            self.iterate(worker.worker, self.wait(worker.worker), more=0)
            self.write("WorkerThreadEnd", self.thread(worker.worker), **self._thread_fields(worker.worker))
            mask = sum(self.state[worker.worker, i] << i for i in range(worker.event_count))
            self.write("WorkerStop", CONTROL, Worker=worker.worker, Iterations=0, FinalStateMask=mask, Status=0)
        if self.version:
            self.unload(self.version)
        counters = {f.name: 0 for f in host_events()["HostStop"].schema.fields}
        self.write("HostStop", CONTROL, **counters)

    def finish(self, versions: tuple[int, ...]) -> Run:
        stops = [e for e in self.events if e.name == "WorkerStop"]
        points = [("before", self.updates[0].to_version)]
        points += [(f"after swap {i}", update.to_version) for i, update in enumerate(self.updates[1:], 1)]
        snapshots = [self._snapshot(point, version, True) for point, version in points]
        run = Run(
            self.events,
            SwapWitnesses(
                expected_versions=versions,
                endpoint_images=tuple(IMAGES.values()),
                host_images=HOST_IMAGES,
                serviced_images=tuple(SERVICED),
                host_objects=HOST_OBJECTS,
                workers=tuple(self.workers.values()),
                updates=tuple(self.updates),
                middle_counters={"Workers": 6, "Threads": 8, "Events": 12},
                final_counters=dict.fromkeys(("Workers", "Threads", "Events", "Allocations"), 0),
                final_states={e["Worker"]: e["FinalStateMask"] for e in stops},
                trace_stop_error="",
                snapshots=(*snapshots, self._snapshot("after stop", 0, False)),
                threads=ThreadCounts(9, 17, 9),
                driver_host_alive=True,
            ),
        )
        run.recount()
        return run

    @staticmethod
    def _snapshot(point: str, version: int, host: bool) -> ImageSnapshot:
        images = [*(HOST_IMAGES if host else ()), *([IMAGES[version]] if version else [])]
        modules = {f"C:\\windows\\system32\\drivers\\{image.upper()}" for image in images} | {"c:\\w\\ntoskrnl.exe"}
        maps = {f"/run/prefix/drive_c/windows/system32/drivers/{image}" for image in images} | {"/usr/lib/ntdll.so"}
        services = frozenset(image for image in images if image in SERVICED)
        objects = frozenset(HOST_OBJECTS if host else ())
        return ImageSnapshot(
            point, IMAGES.get(version, ""), host, frozenset(modules), frozenset(maps), services, objects
        )


def good_run(seed: int = 1, rounds: int = 60) -> Run:
    """v1, swap to v2 under load, swap back, stop: everything holds."""
    simulation = Simulation(seed)
    simulation.start()
    simulation.load(rounds)
    simulation.swap(2)
    simulation.load(rounds)
    simulation.swap(1)
    simulation.load(rounds)
    simulation.stop()
    return simulation.finish((1, 2, 1))
