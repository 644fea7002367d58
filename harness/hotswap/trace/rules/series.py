"""Values along a key: increasing, contiguous, unique, constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.along import Along, along, running_max
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import Values
from hotswap.trace.rules.key import Key, Per, codes_of
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import BEGINNING, Ints, Mask
from hotswap.trace.rules.pattern import Ref
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named, never_missing

Kind = Literal["increasing", "strictly increasing", "contiguous", "unique", "constant"]


@dataclass(frozen=True, eq=False)
class Series(Rule):
    """A field of events, along each key."""

    ref: Ref
    kind: Kind
    key: Key
    step: int = 1
    start: int | None = None

    def sentence(self) -> str:
        """The statement in words."""
        what = f"{self.key.each()}{self.ref.field} of {self.ref.pattern}"
        if self.kind == "contiguous":
            first = "" if self.start is None else f" from {self.start}"
            return f"{what} goes on by {self.step}{first} without a gap"
        return f"{what} is {self.kind}"

    def judge(self, view: View) -> Judgement:
        """One instance an event."""
        line = along(view, self.ref.pattern, self.key, self.scope, (self.ref.field,))
        values = line.matched[self.ref.field][line.event]
        if self.kind in ("unique", "constant"):
            failed, other = _repeated(line, values) if self.kind == "unique" else _changed(line, values)
            low, high = never_missing(len(line))
        elif values.dtype.kind not in "iuf":
            raise UsageError(f"{self.ref.field} of {self.ref.pattern} is no number, so that nothing can be {self.kind}")
        elif self.kind == "contiguous":
            return self._contiguous(view, line, values)
        else:
            failed, other = _falling(view, line, values, strictly=self.kind == "strictly increasing")
            low, high = never_missing(len(line))
        return self._judgement(line, failed, low, high, lambda i: self._against(view, line, i, int(other[i])))

    def _judgement(self, line: Along, failed: Mask, low: Ints, high: Ints, prove: Callable[[int], Proof]) -> Judgement:
        of = self.ref.pattern
        return Judgement(
            failed, low, high, line.row, prove, lambda: f"{len(line):,} {of}, {self.ref.field} {self.kind}",
            line.looked_at, f"the trace has no {of}", cpu=line.cpu(self.key),
        )  # fmt: skip

    def _contiguous(self, view: View, line: Along, values: Values) -> Judgement:
        if values.dtype.kind == "f":
            raise UsageError(f"{self.ref.field} of {self.ref.pattern} is no integer, so that it cannot be contiguous")
        numbers = values.view(np.int64) if values.dtype == np.uint64 else values.astype(np.int64)
        # At equal ticks on different CPUs, the order of the values will do.
        place = (
            np.lexsort((line.row, numbers * np.sign(self.step), line.tick, line.group))
            if view.order.tied
            else np.arange(len(line))
        )
        sorted_values, row = numbers[place], line.row[place]
        before = np.append(-1, place[:-1])[: len(place)]
        due = np.append(0, sorted_values[:-1])[: len(place)] + self.step
        fresh = line.fresh
        due[fresh] = sorted_values[fresh] if self.start is None else self.start
        failed = sorted_values != due
        if view.order.tied:
            backwards, _ = _falling(view, line, numbers * np.sign(self.step), strictly=True)
            failed |= backwards[place]
        tick = line.tick[place]
        previous = np.where(fresh, BEGINNING, np.append(BEGINNING, tick[:-1])[: len(place)])
        # What is missing in between may have had the values that were due; that does not excuse one that comes again.
        gap = failed & ((sorted_values - due) * np.sign(self.step) > 0)
        low, high = np.where(gap, previous, 1), np.where(gap, tick, 0)

        def prove(i: int) -> Proof:
            event = int(line.event[place[i]])
            of = f" of {self.key.text(line.matched, event)}" if self.key else ""
            who = f"{named(self.ref.pattern, view, int(row[i]))}{of} {at_text(view, int(row[i]))}"
            text = f"{who} has {self.ref.field} {int(sorted_values[i])} where {int(due[i])} was due"
            rows = (int(row[i]),) if fresh[i] else (int(line.row[before[i]]), int(row[i]))
            return Proof(text, rows, (int(row[i]),))

        found = self._judgement(line, failed, low, high, prove)
        found.at = row
        if self.key.cpu:
            found.cpu = line.matched["cpu"][line.event[place]].astype(np.int64)
        return found

    def _against(self, view: View, line: Along, at: int, other: int) -> Proof:
        row, earlier = int(line.row[at]), int(line.row[other])
        of = f" of {self.key.text(line.matched, int(line.event[at]))}" if self.key else ""
        who = f"{named(self.ref.pattern, view, row)}{of} {at_text(view, row)}"
        now, then = (line.matched.text(self.ref.field, int(line.event[one])) for one in (at, other))
        field = self.ref.field
        text = {
            "unique": f"{who} has {field} {now}, which the one {at_text(view, earlier)} has already",
            "constant": f"{who} has {field} {now}; the first one, {at_text(view, earlier)}, has {then}",
        }.get(self.kind, f"{who} has {field} {now} after {then}")
        return Proof(text, (earlier, row), (row,))


def _repeated(line: Along, values: Values) -> tuple[Mask, Ints]:
    """Which values came before in their group, and where first."""
    code = codes_of([[line.group], [values]], [len(line)], 1)[0]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    origin = first[inverse.reshape(-1)] if len(line) else np.zeros(0, np.int64)
    return origin != np.arange(len(line)), origin


def _changed(line: Along, values: Values) -> tuple[Mask, Ints]:
    """Which values are not the first of their group, and where that is."""
    origin = line.starts[line.group] if len(line) else np.zeros(0, np.int64)
    code = codes_of([[values]], [len(line)], 1)[0]
    return np.asarray(code != code[origin], np.bool_), origin


def _falling(view: View, line: Along, values: Values, *, strictly: bool) -> tuple[Mask, Ints]:
    """Which values are smaller than (`strictly`: or equal to) one that surely came before, and where such a one is."""
    if not len(line):
        return np.zeros(0, np.bool_), np.zeros(0, np.int64)
    rank = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    # The position of the largest so far travels along with it.
    count = len(line)
    best = running_max(rank * count + np.arange(count), line.fresh)
    before = np.where(line.fresh, -1, np.append(-1, best[:-1]))
    if view.order.tied:
        before = _surely_before(view, line, rank, best)
    largest, where = before // count, before % count
    failed = (before >= 0) & ((largest >= rank) if strictly else (largest > rank))
    nearest = np.maximum(np.arange(count) - 1, 0)
    # The event just before shows it as well as any, where it does.
    close = ~line.fresh & ((rank[nearest] >= rank) if strictly else (rank[nearest] > rank))
    close &= view.order.before(line.row[nearest], line.row)
    return np.asarray(failed, np.bool_), np.where(close, nearest, np.where(before >= 0, where, 0))


def _surely_before(view: View, line: Along, rank: Ints, best: Ints) -> Ints:
    """For each event the largest rank (with its position) of those of its group surely before it; -1: none."""
    count, order = len(line), view.order
    place = line.group * (len(view.table) + 1) + line.row
    start_of_group = line.starts[line.group]
    earlier = np.searchsorted(place, line.group * (len(view.table) + 1) + order.tick_start[line.row]) - 1
    result = np.where(earlier >= start_of_group, best[np.maximum(earlier, 0)], -1)
    # Of its own CPU and tick: the events between the begin of the cell and itself.
    cell = np.searchsorted(place, line.group * (len(view.table) + 1) + order.cell_start[line.row])
    fresh = cell == np.arange(count)
    in_cell = running_max(rank * count + np.arange(count), fresh)
    own = np.where(fresh, -1, np.append(-1, in_cell[:-1]))
    return np.maximum(result, own)


def increasing(ref: Ref, *, per: Per | None = None, strictly: bool = False) -> Series:
    """No value is smaller than one before it: `increasing(event("Sample")["Time"], per="Cpu")`."""
    return _series(ref, "strictly increasing" if strictly else "increasing", per)


def contiguous(ref: Ref, *, per: Per | None = None, step: int = 1, start: int | None = None) -> Series:
    """Each value is the one before plus `step`: numbers without a gap, twins or exchange. `start`: the first value."""
    if step == 0:
        raise UsageError("contiguous: step is 0")
    return Series(_checked(ref), "contiguous", Key.of(per), step, start)


def unique(ref: Ref, *, per: Per | None = None) -> Series:
    """No value comes twice."""
    return _series(ref, "unique", per)


def constant(ref: Ref, *, per: Per | None = None) -> Series:
    """All values are the same: `constant(event("IterationBegin")["tid"], per="Worker")`."""
    return _series(ref, "constant", per)


def _series(ref: Ref, kind: Kind, per: Per | None) -> Series:
    return Series(_checked(ref), kind, Key.of(per))


def _checked(ref: Ref) -> Ref:
    if not isinstance(ref, Ref):
        raise UsageError(f'{ref!r} is no field of an event: give event("Name")["Field"]')
    no_references(ref.pattern)
    return ref
