"""A correct trace of the swap test, changed in random ways; who must catch a change is said before anybody is asked.

A change that makes no other statement about what happened is no mutant: that is argued by a rule here (`Equivalent`),
never by looking at what survived.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from hotswap.swap.expectations import SWAP_EXPECTATIONS, judge
from hotswap.swap.swap_trace import PROVIDER_GUID, SwapTrace
from hotswap.swap.witnesses import RingStats, SwapWitnesses
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import ExpectationResult, Verdict, format_slice
from support.trace_edit import Item, Records, TraceEdit

FAIL, OPEN = Verdict.FAIL, Verdict.INCONCLUSIVE
Killers = dict[str, Verdict]
PHASES: Killers = {"swap-phases-in-order": FAIL}
CUT: Killers = {"no-iteration-cut-short": FAIL}
WORK: Killers = {"work-once-per-iteration": FAIL}
THREADS: Killers = {"worker-threads-survive": FAIL}
COUNTERS: Killers = {"counters-agree": FAIL}
IMAGES: Killers = {"endpoint-unloaded": FAIL}
# What is missing of the evidence is no failure of the driver.
EVIDENCE: Killers = {"evidence-complete": OPEN}
VERIFIED: Killers = {"endpoint-frees-pool": OPEN}
ITERATION = ("IterationBegin", "EndpointWork", "IterationEnd")
TIMEOUT = 0x102


@dataclass(frozen=True)
class Mutant:
    """One changed trace: what was done to which event, and which expectations must notice, with which verdict."""

    operator: str
    what: str
    edit: TraceEdit
    killers: Killers
    rows: tuple[int, ...]
    """Rows of the first trace around the change."""
    witnesses: SwapWitnesses | None = None
    """Other witnesses than those of the first trace."""


@dataclass(frozen=True)
class Equivalent:
    """A change that says nothing else about what happened, and why."""

    why: str


@dataclass
class World:
    """The correct trace, and what belongs together in it."""

    etl: EtlFile
    witnesses: SwapWitnesses
    random: random.Random = field(default_factory=lambda: random.Random(1))

    @cached_property
    def records(self) -> Records:
        return Records(self.etl, PROVIDER_GUID)

    @cached_property
    def by_name(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = {}
        for item in self.records.all:
            found.setdefault(item.name, []).append(item)
        return found

    @cached_property
    def swaps(self) -> dict[int, tuple[int, int]]:
        return {item["Swap"]: (item["FromVersion"], item["ToVersion"]) for item in self.by_name["SwapBegin"]}

    @cached_property
    def chains(self) -> list[list[Item]]:
        """Events whose order means something: of a worker's thread, a signal, a swap, a load, an image, the host."""
        chains: dict[object, list[Item]] = {}
        for item in self.records.all:
            chains.setdefault(self._chain(item), []).append(item)
        chains.pop(None, None)
        return [sorted(chain, key=lambda item: (item.tick, item.row)) for chain in chains.values() if len(chain) > 1]

    @staticmethod
    def _chain(item: Item) -> object:
        name = item.name
        if name in ITERATION or name in ("WorkerThreadStart", "WorkerThreadEnd"):
            return "worker", item["Worker"]
        if name in ("SignalBegin", "SignalEnd"):
            return "signal", item["Worker"], item["EventIndex"], item["Signal"]
        if name.startswith("Swap"):
            # FirstHeld is told by the thread that is held, which may be late.
            return None if name == "SwapFirstHeld" else ("swap",)
        if name in ("LoadStart", "LoadStop"):
            return "load", item["Load"]
        if name in ("EndpointLoaded", "EndpointUnloaded"):
            return "image", item["Version"]
        return "host" if name in ("HostStart", "HostStop") else None

    def edit(self) -> TraceEdit:
        return TraceEdit(self.etl, PROVIDER_GUID)

    def pick(self) -> Item:
        """Any event: first a name, so that rare events come as often as others."""
        return self.random.choice(self.by_name[self.random.choice(sorted(self.by_name))])

    def pick_of(self, *names: str) -> Item:
        return self.random.choice(self.by_name[self.random.choice([name for name in names if name in self.by_name])])

    def neighbours(self) -> tuple[Item, Item]:
        """Two events of a chain that follow each other."""
        kinds = sorted({chain[0].name for chain in self.chains})
        kind = self.random.choice(kinds)
        chain = self.random.choice([chain for chain in self.chains if chain[0].name == kind])
        at = self.random.randrange(len(chain) - 1)
        return chain[at], chain[at + 1]


def whom(item: Item) -> str:
    about = " ".join(f"{name}={value}" for name, value in list(item.fields.items())[:4])
    return f"{item.name} {about} at row {item.row}"


def _outside(world: World, edit: TraceEdit, killers: Killers) -> Killers:
    """Who notices, as well, that something is now told outside of the run of the driver."""
    start, stop = (world.by_name[host][0].tick for host in ("HostStart", "HostStop"))
    ticks = [*edit.moved.values(), *(item.tick for item in edit.added)]
    return killers if all(start <= tick <= stop for tick in ticks) else {**killers, **EVIDENCE}


def _by_presence(world: World, item: Item, *, twice: bool) -> Killers | Equivalent:
    """Who notices that an event is not there, or is there twice."""
    name = item.name
    if name in ("IterationBegin", "IterationEnd"):
        return CUT
    if name == "EndpointWork":
        return WORK
    if name in ("SignalBegin", "SignalEnd", "HostStart", "HostStop"):
        return EVIDENCE
    if name == "WorkerCreate":
        return {"workers-as-asked": FAIL}
    if name in ("WorkerThreadStart", "WorkerThreadEnd"):
        return THREADS
    if name == "WorkerStop":
        return COUNTERS if twice else {"counters-agree": OPEN}
    if name in ("LoadStart", "LoadStop"):
        return COUNTERS
    if name in ("EndpointLoaded", "EndpointUnloaded"):
        return IMAGES
    if name == "EndpointVerified":
        return VERIFIED
    if name == "RuntimeChosen":
        if twice:
            return Equivalent("a runtime may be chosen again")
        return EVIDENCE if len(world.by_name[name]) == 1 else Equivalent("a runtime may be chosen again")
    if name.startswith("Swap"):
        return _swap_step(world, item, twice=twice)
    if name.startswith("Proxy"):
        return Equivalent("a fine step, written for schedules; no statement is made on it")
    raise AssertionError(f"nobody says who notices that {name} is missing")


def _swap_step(world: World, item: Item, *, twice: bool) -> Killers | Equivalent:
    before, after = world.swaps[item["Swap"]]
    if twice or item.name in ("SwapBegin", "SwapEnd"):
        return PHASES
    if item.name == "SwapFirstHeld":
        return Equivalent("told by the thread that is held, if it comes to it")
    if before and after:
        return PHASES
    if item.name == "SwapSwitched" and after:
        return {"no-old-version-after-switch": FAIL}
    return Equivalent(
        "putting the first endpoint driver in, or the last one out, is no swap between two: phases may be absent"
    )


def drop(world: World) -> Mutant | Equivalent:
    """An event is not there."""
    item = world.pick()
    killers = _by_presence(world, item, twice=False)
    if isinstance(killers, Equivalent):
        return killers
    edit = world.edit()
    edit.gone.add(item.row)
    return Mutant("drop", f"without {whom(item)}", edit, killers, (item.row,))


def duplicate(world: World) -> Mutant | Equivalent:
    """An event is there twice, the second time a little later."""
    item = world.pick()
    killers = _by_presence(world, item, twice=True)
    if isinstance(killers, Equivalent):
        return killers
    edit = world.edit()
    later = world.random.choice((0, 1, 10, 1000))
    edit.added.append(dataclasses.replace(item, tick=item.tick + later))
    return Mutant(
        "duplicate", f"twice {whom(item)}, {later} ticks later", edit, _outside(world, edit, killers), (item.row,)
    )


def _by_order(world: World, first: Item, second: Item) -> Killers | Equivalent:
    """Who notices that the second of two neighbours of a chain came before the first."""
    names = first.name, second.name
    if "WorkerThreadStart" in names or "WorkerThreadEnd" in names:
        return THREADS
    if "EndpointWork" in names:
        return WORK
    if names[0] in ITERATION:
        return CUT
    if names[0] == "SignalBegin" or names[0] == "HostStart":
        return EVIDENCE
    if names[0] == "LoadStart":
        return COUNTERS
    if names[0] in ("EndpointLoaded", "EndpointUnloaded"):
        return IMAGES
    assert names[0].startswith("Swap"), names
    return PHASES


def _reordered(world: World, name: str, move: Callable[[Item, Item, TraceEdit], str]) -> Mutant | Equivalent:
    first, second = world.neighbours()
    if first.tick == second.tick:
        return Equivalent("events of one tick have no order")
    killers = _by_order(world, first, second)
    if isinstance(killers, Equivalent):
        return killers
    edit = world.edit()
    what = move(first, second, edit)
    return Mutant(
        name, f"{what}: {whom(first)}, {whom(second)}", edit, _outside(world, edit, killers), (first.row, second.row)
    )


def swap(world: World) -> Mutant | Equivalent:
    """Two neighbours of a chain have changed places."""

    def move(first: Item, second: Item, edit: TraceEdit) -> str:
        edit.moved |= {first.row: second.tick, second.row: first.tick}
        return "the other way round"

    return _reordered(world, "swap", move)


def delay(world: World) -> Mutant | Equivalent:
    """An event comes only after the next one of its chain."""

    def move(first: Item, second: Item, edit: TraceEdit) -> str:
        late = world.random.choice((1, 10, 1000, 100_000))
        edit.moved[first.row] = second.tick + late
        return f"{late} ticks after the next one"

    return _reordered(world, "delay", move)


def advance(world: World) -> Mutant | Equivalent:
    """An event comes already before the one of its chain that it follows."""

    def move(first: Item, second: Item, edit: TraceEdit) -> str:
        early = world.random.choice((1, 10, 1000, 100_000))
        edit.moved[second.row] = first.tick - early
        return f"{early} ticks before the one before"

    return _reordered(world, "advance", move)


def retag_version(world: World) -> Mutant | Equivalent:
    """An event, or a whole iteration, names another version."""
    named = [name for name in world.by_name if "Version" in world.by_name[name][0].fields]
    steps = [name for name in world.by_name if name.startswith("Swap")]
    item = world.pick_of(*named, *steps)
    edit = world.edit()
    name = world.random.choice(("FromVersion", "ToVersion")) if item.name.startswith("Swap") else "Version"
    other = world.random.choice([version for version in (1, 2, 3, 9) if version != item[name]])
    items = [item]
    if item.name in ITERATION:
        if not item["Version"]:
            return Equivalent("version 0 is the host's own endpoint, which logs no work")
        killers = {
            "IterationBegin": {**CUT, "work-names-version": FAIL, "no-old-version-after-switch": FAIL},
            "EndpointWork": {"work-names-version": FAIL, "no-old-version-after-switch": FAIL},
            "IterationEnd": CUT,
        }[item.name]
        if world.random.random() < 0.4:
            key = item["Worker"], item["Iteration"]
            items = [one for one in world.records.named(*ITERATION) if (one["Worker"], one["Iteration"]) == key]
            killers = {"no-old-version-after-switch": FAIL}
    elif item.name.startswith("Swap"):
        killers = PHASES
    else:
        killers = VERIFIED if item.name == "EndpointVerified" else IMAGES
        if item.name == "EndpointLoaded" and not item["Version"]:
            return Equivalent("what did not come to be an endpoint driver has no version")
    for one in items:
        edit.said[one.row] = {**one.fields, name: other}
    what = f"{name} {other} in {len(items)} events from {whom(item)}"
    return Mutant("retag version", what, edit, killers, tuple(one.row for one in items))


def retag_field(world: World) -> Mutant | Equivalent:
    """An event names another worker, number, status, thread, or state."""
    item = world.pick_of(*ITERATION, "SignalBegin", "SignalEnd")
    edit = world.edit()
    choices = ["Worker", "Iteration", "WaitStatus", "thread"] if item.name in ITERATION else ["Worker", "Signal"]
    if item.name == "SignalEnd":
        choices += ["PreviousState", "PreviousState"]
    name = world.random.choice(choices)
    killers: Killers = {"IterationBegin": CUT, "EndpointWork": WORK, "IterationEnd": CUT}.get(item.name, EVIDENCE)
    if name == "thread":
        edit.threads[item.row] = item.tid + world.random.randint(1, 1000)
        return Mutant("retag field", f"another thread in {whom(item)}", edit, THREADS, (item.row,))
    value = item[name]
    if name == "WaitStatus":
        other = world.random.choice([status for status in (0, 1, 7, TIMEOUT, 0x101) if status != value])
        if item.name == "EndpointWork":
            killers = {"work-names-wait-status": FAIL}
    elif name == "PreviousState":
        other = 1 - value
        killers = {"signals-accounted": FAIL, **COUNTERS}
    elif name == "Worker":
        workers = [create["Worker"] for create in world.by_name["WorkerCreate"]]
        other = world.random.choice([worker for worker in workers if worker != value])
    else:
        other = value + world.random.choice((1, 1000))
    edit.said[item.row] = {**item.fields, name: other}
    return Mutant("retag field", f"{name} {other} in {whom(item)}", edit, killers, (item.row,))


def lose_wakeup(world: World) -> Mutant | Equivalent:
    """An iteration never happened: later ones of its worker move up, and whoever counts counts one less."""
    begin = world.pick_of("IterationBegin")
    if begin["WaitStatus"] == TIMEOUT:
        return Equivalent("a wait that timed out took no signal")
    worker, number = begin["Worker"], begin["Iteration"]
    edit = world.edit()
    for item in world.records.named(*ITERATION):
        if item["Worker"] != worker:
            continue
        if item["Iteration"] == number:
            edit.gone.add(item.row)
        elif item["Iteration"] > number:
            edit.said[item.row] = {**item.fields, "Iteration": item["Iteration"] - 1}
    for item in world.records.named("WorkerStop", "HostStop"):
        if item.name == "HostStop" or item["Worker"] == worker:
            edit.said[item.row] = {**item.fields, "Iterations": item["Iterations"] - 1}
    seen = world.witnesses
    counters = dict(seen.final_counters or {})
    counters["Iterations"] -= 1
    changed = dataclasses.replace(seen, final_counters=counters)
    what = f"without the iteration of {whom(begin)}"
    return Mutant("lose wake-up", what, edit, {"signals-accounted": FAIL}, (begin.row,), changed)


OPERATORS: dict[str, Callable[[World], Mutant | Equivalent]] = {
    "drop": drop,
    "duplicate": duplicate,
    "swap": swap,
    "delay": delay,
    "advance": advance,
    "retag version": retag_version,
    "retag field": retag_field,
    "lose wake-up": lose_wakeup,
}


@dataclass
class Score:
    """What became of the mutants of one operator."""

    operator: str
    killed: int = 0
    survivors: list[tuple[Mutant, str]] = field(default_factory=list)
    """With what was said of them instead, and their slice."""
    equivalent: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.killed + len(self.survivors)

    def tell(self) -> str:
        head = f"{self.operator}: {self.killed} of {self.total} killed, {sum(self.equivalent.values())} equivalent"
        return "\n".join([head, *self.tell_survivors()])

    def tell_survivors(self) -> list[str]:
        return [
            f"survived {self.operator}: {mutant.what}; declared: {', '.join(mutant.killers)}\n{instead}"
            for mutant, instead in self.survivors
        ]


def asked(etl: EtlFile, witnesses: SwapWitnesses, ids: set[str]) -> dict[str, ExpectationResult]:
    """What these expectations say of a trace whose ring has told of exactly its events."""
    events = sum(count for (guid, _), count in etl.events.counts().items() if guid == PROVIDER_GUID)
    told = dataclasses.replace(witnesses, ring=RingStats(events, 0, events))
    others = {expectation.id for expectation in SWAP_EXPECTATIONS} - ids
    return {result.id: result for result in judge(SwapTrace(etl, told), others)}


def is_killed(mutant: Mutant, world: World, etl: EtlFile) -> tuple[bool, dict[str, ExpectationResult]]:
    results = asked(etl, mutant.witnesses or world.witnesses, set(mutant.killers))
    return any(results[id].verdict is wanted for id, wanted in mutant.killers.items()), results


def score(world: World, operator: str, count: int) -> Score:
    """Make so many mutants of one operator and ask of each those who must notice."""
    result = Score(operator)
    while result.total < count:
        mutant = OPERATORS[operator](world)
        if isinstance(mutant, Equivalent):
            result.equivalent[mutant.why] = result.equivalent.get(mutant.why, 0) + 1
            assert sum(result.equivalent.values()) < 50 * (count + 1), "nothing but equivalent mutants"
            continue
        killed, results = is_killed(mutant, world, mutant.edit.build())
        if killed:
            result.killed += 1
        else:
            said = "\n".join(f"  {item.id}: {item.verdict}: {item.message}" for item in results.values())
            table = world.etl.events
            around = [row for at in mutant.rows for row in range(at - 1, at + 2) if 0 <= row < len(table)]
            result.survivors.append((mutant, f"{said}\n{format_slice(table, around)}"))
    return result
