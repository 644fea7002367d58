"""The host driver's events as the swap expectations need them: signals, iterations and swaps, joined once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hotswap.swap.swaps import STEPS, Step, Swap
from hotswap.swap.witnesses import SwapWitnesses, WorkerDefinition
from hotswap.trace.etl import EtlFile
from hotswap.trace.rules.matched import View
from hotswap.trace.table import EventTable
from hotswap.trace.tracelogging import provider_guid

PROVIDER_NAME = "HotSwap.Host"
PROVIDER_GUID = provider_guid(PROVIDER_NAME)

Ints = NDArray[np.int64]
BEGINNING = int(np.iinfo(np.int64).min)
END_OF_TIME = int(np.iinfo(np.int64).max)

FIELDS: dict[str, tuple[str, ...]] = {
    "HostStart": (),
    "HostStop": (
        "Workers", "Threads", "Allocations", "Events", "References", "EndpointDrivers", "ProxyExtensions",
        "ProxyWrappers", "ProxyThreads", "ProxyAllocations", "ProxyActiveCalls", "Iterations", "Signals",
        "EventsDropped",
    ),
    "RuntimeChosen": (),
    "EndpointUnloaded": ("Version", "Status"),
    "EndpointVerified": (
        "Version", "Status", "Imports", "PoolBlocks", "PoolBytes", "Threads", "Events", "Handles", "References",
    ),
    "WorkerCreate": (
        "Worker", "WorkerThreadId", "WaitType", "WaitMode", "Altertable", "HasTimeout", "Timeout", "EventCount",
        "NotificationMask", "InitialStateMask", "Status",
    ),
    "WorkerThreadStart": ("Worker", "WorkerThreadId"),
    "WorkerThreadEnd": ("Worker", "WorkerThreadId"),
    "WorkerStop": ("Worker", "Iterations", "FinalStateMask", "Status"),
    "LoadStart": ("Load",),
    "LoadStop": ("Load", "Signals", "Accepted"),
    "SignalBegin": ("Worker", "EventIndex", "Signal", "Source"),
    "SignalEnd": ("Worker", "EventIndex", "Signal", "Source", "PreviousState"),
    "EventClear": ("Worker", "EventIndex", "PreviousState"),
    "IterationBegin": ("Worker", "Iteration", "Version", "WaitStatus"),
    "IterationEnd": ("Worker", "Iteration", "Version", "WaitStatus", "Continue"),
    "EndpointWork": ("Worker", "Iteration", "Version", "WaitStatus", "Result"),
    **{
        f"Swap{step}": ("Swap", "FromVersion", "ToVersion", "Status")
        for step in STEPS
    },
}  # fmt: skip
"""Payload fields that the expectations read, by event. driver/include/hotswap_events.h is where they are stated."""


@dataclass(frozen=True)
class Column:
    """The events of one name: `row`, `tick` and `tid`, and the fields as int64 (64-bit masks keep their bits)."""

    row: Ints
    tick: Ints
    tid: Ints
    fields: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, name: str) -> Ints:
        return self.fields[name]

    def take(self, chosen: NDArray[np.bool_] | Ints) -> Column:
        """The rows chosen by a mask or by positions."""
        fields = {name: values[chosen] for name, values in self.fields.items()}
        return Column(self.row[chosen], self.tick[chosen], self.tid[chosen], fields)


@dataclass(frozen=True)
class Signals:
    """KeSetEvent calls that returned, in order of their begin; and those that did not (`pending`)."""

    worker: Ints
    event: Ints
    source: Ints
    begin: Ints
    end: Ints
    accepted: NDArray[np.bool_]
    begin_row: Ints
    end_row: Ints
    pending: Column
    """SignalBegin events without their SignalEnd."""
    orphans: Column
    """SignalEnd events without their SignalBegin."""


@dataclass(frozen=True)
class Iterations:
    """Iterations in order of worker, then begin; one row per IterationBegin."""

    worker: Ints
    iteration: Ints
    version: Ints
    status: Ints
    begin: Ints
    row: Ints
    tid: Ints
    end: Ints
    """END_OF_TIME: no IterationEnd."""
    end_row: Ints
    """-1: no IterationEnd."""
    previous_end: Ints
    """When the worker's wait can have begun at the earliest: the end of its iteration before."""


class SwapTrace:
    """A decoded trace, joined on demand. Nothing here judges.

    `restart`: the updates were made by restart, not by hot-swap.
    """

    def __init__(self, etl: EtlFile, witnesses: SwapWitnesses, *, restart: bool = False) -> None:
        self.etl = etl
        self.restart = restart
        self.table: EventTable = etl.events
        self.witnesses = witnesses
        self.defects: list[str] = []
        self.events = {name: self._load(name, fields) for name, fields in FIELDS.items()}

    def _load(self, name: str, wanted: tuple[str, ...]) -> Column:
        events = self.table.events(name, PROVIDER_GUID)
        if events.malformed:
            self.defects.append(f"{events.malformed} {name} events whose payload is too short")
        fields: dict[str, Ints] = {}
        for field in wanted:
            values = events.fields.get(field)
            if values is None or values.dtype.kind not in "iu":
                if len(events):
                    self.defects.append(f"{name} events have no field {field}")
                fields[field] = np.zeros(len(events), np.int64)
            else:
                fields[field] = values.astype(np.int64)
        return Column(events.rows, events.tick, events.tid, fields)

    @cached_property
    def view(self) -> View:
        """The trace as rules look at it."""
        from hotswap.swap.check_evidence import view_of

        return view_of(self)

    @cached_property
    def driver_events(self) -> int:
        """Events of the host driver's provider."""
        return sum(count for (guid, _), count in self.table.counts().items() if guid == PROVIDER_GUID)

    @cached_property
    def previous_tick_on_thread(self) -> Ints:
        """For each row, the tick of the event before it on the same thread; BEGINNING for a thread's first."""
        order = np.lexsort((np.arange(len(self.table)), self.table.tick, self.table.tid))
        tick, tid = self.table.tick[order], self.table.tid[order]
        before = np.full(len(order), BEGINNING, np.int64)
        same = tid[1:] == tid[:-1]
        before[1:][same] = tick[:-1][same]
        result = np.empty_like(before)
        result[order] = before
        return result

    @cached_property
    def workers(self) -> dict[int, WorkerDefinition]:
        """Workers by id as the host created them, or as they were asked for where the trace does not say."""
        asked = {worker.worker: worker for worker in self.witnesses.workers or ()}
        return asked | {worker.worker: worker for worker in self.created_workers}

    @cached_property
    def created_workers(self) -> list[WorkerDefinition]:
        """One definition per WorkerCreate event that succeeded."""
        created = self.events["WorkerCreate"]
        created = created.take(created["Status"] == 0)
        unsigned = (1 << 64) - 1
        return [
            WorkerDefinition(
                worker=int(created["Worker"][i]),
                wait_type=int(created["WaitType"][i]),
                event_count=min(int(created["EventCount"][i]), 64),
                notification_mask=int(created["NotificationMask"][i]) & unsigned,
                initial_state_mask=int(created["InitialStateMask"][i]) & unsigned,
                has_timeout=bool(created["HasTimeout"][i]),
                timeout=int(created["Timeout"][i]),
                altertable=bool(created["Altertable"][i]),
                wait_mode=int(created["WaitMode"][i]),
            )
            for i in range(len(created))
        ]

    @cached_property
    def final_states(self) -> dict[int, int]:
        """Final state masks by worker: from the host's event, else from the reply to the stop."""
        stopped = self.events["WorkerStop"]
        told = dict(self.witnesses.final_states or {})
        return told | {
            int(worker): int(mask) & ((1 << 64) - 1)
            for worker, mask in zip(stopped["Worker"], stopped["FinalStateMask"], strict=True)
        }

    @cached_property
    def signals(self) -> Signals:
        """SignalBegin joined with SignalEnd on worker, event and signal number."""
        begin, end = self.events["SignalBegin"], self.events["SignalEnd"]
        at, found = match(
            [end["Worker"], end["EventIndex"], end["Signal"]], [begin["Worker"], begin["EventIndex"], begin["Signal"]]
        )
        used = np.zeros(len(begin), np.bool_)
        used[at[found]] = True
        # An end without its begin was begun at some time before: nothing earlier than its own tick is assumed.
        begun = np.where(found, begin.tick[at] if len(begin) else end.tick, end.tick)
        begun_row = np.where(found, begin.row[at] if len(begin) else end.row, end.row)
        order = np.lexsort((end.row, begun))
        return Signals(
            worker=end["Worker"][order],
            event=end["EventIndex"][order],
            source=end["Source"][order],
            begin=begun[order],
            end=end.tick[order],
            accepted=end["PreviousState"][order] == 0,
            begin_row=begun_row[order],
            end_row=end.row[order],
            pending=begin.take(~used),
            orphans=end.take(~found),
        )

    @cached_property
    def iterations(self) -> Iterations:
        """IterationBegin joined with IterationEnd on worker and iteration number."""
        begin, end = self.events["IterationBegin"], self.events["IterationEnd"]
        begin = begin.take(np.lexsort((begin.row, begin.tick, begin["Worker"])))
        at, found = match([begin["Worker"], begin["Iteration"]], [end["Worker"], end["Iteration"]])
        ended = np.where(found, end.tick[at] if len(end) else 0, END_OF_TIME)
        previous = np.full(len(begin), BEGINNING, np.int64)
        same = begin["Worker"][1:] == begin["Worker"][:-1]
        known = np.where(found[:-1], ended[:-1], begin.tick[:-1]) if len(begin) else ended
        previous[1:][same] = known[same]
        return Iterations(
            worker=begin["Worker"],
            iteration=begin["Iteration"],
            version=begin["Version"],
            status=begin["WaitStatus"],
            begin=begin.tick,
            row=begin.row,
            tid=begin.tid,
            end=ended,
            end_row=np.where(found, end.row[at] if len(end) else -1, -1),
            previous_end=previous,
        )

    @cached_property
    def swaps(self) -> list[Swap]:
        """Swaps in order of their number."""
        found: dict[int, tuple[int, int]] = {}
        steps: dict[int, list[Step]] = {}
        for name in STEPS:
            events = self.events[f"Swap{name}"]
            for i in range(len(events)):
                number = int(events["Swap"][i])
                found.setdefault(number, (int(events["FromVersion"][i]), int(events["ToVersion"][i])))
                status = int(events["Status"][i]) & 0xFFFFFFFF
                step = Step(name, int(events.row[i]), int(events.tick[i]), status)
                steps.setdefault(number, []).append(step)
        return [
            Swap(number, *found[number], tuple(sorted(steps[number], key=lambda step: (step.tick, step.row))))
            for number in sorted(found)
        ]

    @cached_property
    def force(self) -> tuple[Ints, Ints]:
        """Versions in force: (ticks, versions); the first entry holds from the beginning."""
        changes: list[tuple[int, int]] = []
        for swap in self.swaps:
            switched, back = swap.tick("Switched"), swap.tick("RolledBack")
            if switched is not None:
                changes.append((switched, swap.to_version))
                if back is not None:
                    changes.append((back, swap.from_version))
        changes.sort(key=lambda change: change[0])
        first = self.swaps[0].from_version if self.swaps else next(iter(self.witnesses.expected_versions), 0)
        entries = [(BEGINNING, first), *changes]
        return np.array([tick for tick, _ in entries], np.int64), np.array([v for _, v in entries], np.int64)


def match(keys: list[Ints], among: list[Ints]) -> tuple[Ints, NDArray[np.bool_]]:
    """For each key, the position in `among` of the same key, and whether there is one.

    Keys are given as columns. The n-th of equal keys is matched with the n-th of equal keys on the other side, in the
    order given; so a key that is there once too often stays unmatched.
    """
    left, right = len(keys[0]), len(among[0])
    columns = [np.concatenate([a, b]) for a, b in zip(keys, among, strict=True)]
    ids = group_ids(columns)
    left_rank, right_rank = _rank(ids[:left]), _rank(ids[left:])
    pairs = group_ids([ids, np.concatenate([left_rank, right_rank])])
    where = np.full(int(pairs.max()) + 1 if len(pairs) else 1, -1, np.int64)
    where[pairs[left:]] = np.arange(right)
    at = where[pairs[:left]]
    found = at >= 0
    return np.where(found, at, 0), found


def group_ids(columns: list[Ints]) -> Ints:
    """A small number for each row, equal for rows that agree in all columns."""
    count = len(columns[0])
    order = np.lexsort(tuple(reversed(columns)))
    fresh = np.zeros(count, np.bool_)
    for column in columns:
        fresh[1:] |= column[order][1:] != column[order][:-1]
    ids = np.empty(count, np.int64)
    ids[order] = np.cumsum(fresh)
    return ids


def _rank(ids: Ints) -> Ints:
    """How many equal ids come before each."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    fresh = np.ones(len(ids), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(fresh)
    ranks = np.arange(len(ids)) - np.repeat(starts, np.diff(np.append(starts, len(ids))))
    result = np.empty(len(ids), np.int64)
    result[order] = ranks
    return result
