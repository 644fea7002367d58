"""What one swap test is made of: which machine, which drivers, which workers, which load. Same seed, same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hotswap.errors import UsageError
from hotswap.swap.witnesses import WAIT_ALL, WAIT_ANY, WorkerDefinition

MAX_WORKERS = 64
MAX_LOAD_TARGETS = 256
MAX_RATE = 1_000_000
MAX_SECONDS = 3600.0
WAITS = ("mixed", "any", "all", "timeout", "absolute")
LOADS = ("steady", "stalled")
UPDATE_AT = ("load", "start", "stop", "together")
_MS = 10_000
_USER_MODE = 1


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """One swap test. `updates` are endpoint drivers in force one after the other: names, or paths of .sys files.

    `seconds` is how long load runs on each of them, `rate` is signals per second over all workers (0: as fast as it
    goes), `work_us` how long an iteration's work takes, `ring_slots` the size of the trace ring in events (0: default).
    """

    machine: str = "wine"
    updates: tuple[str, ...] = ("v1", "v2", "v1")
    workers: int = 8
    rate: int = 2000
    seconds: float = 1.0
    seed: int = 1
    work_us: int = 20
    load_threads: int = 2
    runtime: str = "auto"
    ring_slots: int = 0
    drain_timeout_ms: int = 0
    hold_budget_ms: float = 1000.0
    """How long a swap may hold calls: the pause below one second that Driver Hot-Swap was presented with."""
    waits: str = "mixed"
    """Which kinds of wait the workers have: WAITS."""
    load: str = "steady"
    """`steady`: signals all the time. `stalled`: after the first version only while a swap holds all calls."""
    update_at: str = "load"
    """When updates come: under `load`, while workers `start`, while they `stop`, or all `together`."""
    busy: bool = False
    """Workers poll (time-out 0, W38): each is always in an iteration or about to be in one. For benchmarks."""
    check_live: bool = False
    """Ask what can be asked while the test runs, and end it at the first failure."""
    fault: str = ""
    """What is broken on purpose, and when: `NAME@MOMENT` (hotswap.faults); empty: nothing."""
    disabled: frozenset[str] = field(default_factory=frozenset)
    """Expectations that are not asked, by id: to see that a broken driver is caught for its own reason."""

    def __post_init__(self) -> None:
        limits: tuple[tuple[str, float, float, float], ...] = (
            ("workers", self.workers, 1, MAX_WORKERS),
            ("rate", self.rate, 0, MAX_RATE),
            ("seconds", self.seconds, 0.05, MAX_SECONDS),
            ("seed", self.seed, 0, (1 << 63) - 1),
            ("work-us", self.work_us, 0, 1_000_000),
            ("load-threads", self.load_threads, 1, 8),
            ("ring-slots", self.ring_slots, 0, 1 << 20),
            ("drain-timeout-ms", self.drain_timeout_ms, 0, 600_000),
            ("hold-budget-ms", self.hold_budget_ms, 0.001, 600_000),
        )
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must lie between {low} and {high}")
        choices = (("waits", self.waits, WAITS), ("load", self.load, LOADS), ("update-at", self.update_at, UPDATE_AT))
        for name, chosen, known in choices:
            if chosen not in known:
                raise UsageError(f"{name} is {chosen!r}; it must be one of {', '.join(known)}")
        if len(self.updates) < 2:
            raise UsageError("a swap test needs at least two endpoint drivers, for example v1 and v2")

    def worker_definitions(self, now: int = 0) -> list[WorkerDefinition]:
        """The workers, numbered from 1: every kind of wait in turn, the time-outs drawn from the seed.

        `now` is the guest's system time (100 ns since 1601), which absolute time-outs are counted from.
        """
        numbers = range(1, self.workers + 1)
        if self.busy:
            return [WorkerDefinition(number, WAIT_ANY, 4, has_timeout=True, timeout=0) for number in numbers]
        draw = random.Random(self.seed)
        phases = len(self.updates) * self.seconds
        return [_worker(number, self.waits, draw, now, phases) for number in numbers]

    def load_targets(self) -> list[tuple[int, int]]:
        """(worker, event) pairs that the load signals; WaitAll sets whole, large WaitAny sets by a sample."""
        draw = random.Random(self.seed + 1)
        share = max(1, MAX_LOAD_TARGETS // self.workers)
        targets: list[tuple[int, int]] = []
        for worker in self.worker_definitions():
            events = list(range(worker.event_count))
            if len(events) > share and worker.wait_type == WAIT_ANY:
                # The last one stays in: it has the highest wait status.
                events = sorted({*draw.sample(events[:-1], share - 1), events[-1]})
            targets += [(worker.worker, event) for event in events]
        return targets[:MAX_LOAD_TARGETS]


def _worker(number: int, waits: str, draw: random.Random, now: int, seconds: float) -> WorkerDefinition:
    """Counts on both sides of THREAD_WAIT_OBJECTS (3), both wait types, with and without time-out."""
    timeout = -_MS * (draw.randint(2, 20) if waits == "timeout" else draw.randint(20, 80))
    if waits == "absolute":
        # From its time on such a worker polls (W40): one in four, so that there is something to be told apart.
        timeout = now + int(draw.uniform(0.2, 0.8) * seconds * 1000) * _MS
    anys = (
        WorkerDefinition(number, WAIT_ANY, 1),
        WorkerDefinition(number, WAIT_ANY, 3),
        WorkerDefinition(number, WAIT_ANY, 4, initial_state_mask=0b1000),
        WorkerDefinition(number, WAIT_ANY, 64, wait_mode=_USER_MODE),
    )
    alls = tuple(WorkerDefinition(number, WAIT_ALL, count, altertable=count == 4) for count in (2, 3, 4, 16))
    timed = (
        WorkerDefinition(number, WAIT_ANY, 8, has_timeout=True, timeout=timeout),
        WorkerDefinition(number, WAIT_ALL, 3, has_timeout=True, timeout=timeout),
    )
    kinds = {
        "mixed": (*anys[:3], alls[0], anys[3], *timed, alls[2]),
        "any": anys,
        "all": alls,
        "timeout": timed,
        "absolute": (timed[0], *anys[:3]),
    }[waits]
    return kinds[(number - 1) % len(kinds)]
