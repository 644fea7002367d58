"""Order across lanes: `all_before` and `in_order`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.key import Key, Per, codes_of
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import END_OF_TIME, Ints, Lanes
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.scope import held_fields, members_of, windows_of


@dataclass(frozen=True, eq=False)
class AllBefore(Rule):
    """No event of `later` comes before one of `earlier`, on whatever thread."""

    earlier: Pattern
    later: Pattern
    key: Key

    def sentence(self) -> str:
        """The statement in words."""
        return f"{self.key.each()}every {self.earlier} comes before any {self.later}"

    def judge(self, view: View) -> Judgement:
        """One instance an event that has to be earlier, where there is one that has to be later."""
        fields = [*self.key.fields, *held_fields(self.scope)]
        first, second = view.match(self.earlier, fields), view.match(self.later, fields)
        windows = windows_of(view, self.scope)
        mine = members_of(view, self.scope, windows, first).surely()
        others = members_of(view, self.scope, windows, second).surely()
        parts = [[first[name][mine.event], second[name][others.event]] for name in self.key.fields]
        if self.scope is not None:
            parts.append([mine.window, others.window])
        codes = codes_of(parts, [len(mine.event), len(others.event)], len(view.table) + 1)
        lanes = Lanes(codes[1], second.rows[others.event], view.order)
        # The first event of the later ones: whoever comes after it is too late.
        at = lanes.at(codes[0], np.zeros(len(codes[0]), np.int64))
        there = np.flatnonzero(lanes.has(at, codes[0]))
        event = mine.event[there]
        row, other = first.rows[event], lanes.row[at[there]] if len(lanes) else np.zeros(0, np.int64)
        failed = view.order.before(other, row)
        count = len(there)

        def prove(i: int) -> Proof:
            whom = f" of {self.key.text(first, int(event[i]))}" if self.key else ""
            late, early = named(self.earlier, view, int(row[i])), named(self.later, view, int(other[i]))
            text = f"{late}{whom} {at_text(view, int(row[i]))} comes after the {early} {at_text(view, int(other[i]))}"
            return Proof(text, (int(other[i]), int(row[i])), (int(row[i]),))

        lacks = self.earlier if not len(mine.event) else self.later
        return Judgement(
            failed, np.ones(count, np.int64), np.zeros(count, np.int64), row, prove,
            lambda: f"{count:,} {self.earlier}, all before any {self.later}", (first, second, *windows.looked_at),
            f"the trace has no {lacks}",
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class InOrder(Rule):
    """There are events, one of each step, that follow each other."""

    steps: tuple[Pattern, ...]
    key: Key

    def sentence(self) -> str:
        """The statement in words."""
        return f"{self.key.each()}{', then '.join(map(str, self.steps))} happen in this order"

    def judge(self, view: View) -> Judgement:
        """One instance a window and key of the first step."""
        matched = [view.match(step, [*self.key.fields, *held_fields(self.scope)]) for step in self.steps]
        windows = windows_of(view, self.scope)
        members = [members_of(view, self.scope, windows, one) for one in matched]
        members[0] = members[0].surely()
        parts = [
            [one[name][member.event] for one, member in zip(matched, members, strict=True)] for name in self.key.fields
        ]
        parts.append([member.window for member in members])
        codes = codes_of(parts, [len(member.event) for member in members], len(view.table) + 1)
        groups, example = np.unique(codes[0], return_index=True)
        window = members[0].window[example]
        if not self.key:
            # A window without the first step fails, too.
            example_of = dict(zip(window.tolist(), example.tolist(), strict=True))
            window = np.arange(len(windows))
            example = np.array([example_of.get(at, -1) for at in window.tolist()], np.int64)
            groups = np.where(example >= 0, codes[0][example] if len(codes[0]) else -1, -1)
        found: list[Ints] = []
        alive = np.ones(len(groups), np.bool_)
        for step, (one, member, code) in enumerate(zip(matched, members, codes, strict=True)):
            lanes = Lanes(code, one.rows[member.event], view.order)
            if step == 0:
                at = np.where(groups >= 0, lanes.at(np.maximum(groups, 0), np.zeros(len(groups), np.int64)), -1)
                at = np.where(lanes.has(at, groups), at, -1)
            else:
                at = lanes.first_after(np.maximum(groups, 0), np.maximum(found[-1], 0))
            alive = alive & (at >= 0)
            row = lanes.row[np.maximum(at, 0)] if len(lanes) else np.full(len(at), -1)
            found.append(np.where(alive, row, -1))
        failed = ~alive
        reached = np.stack(found) if found else np.zeros((0, len(groups)), np.int64)
        last = reached.max(axis=0, initial=-1)
        start, end = windows.start[window], windows.end[window]
        tick = view.table.tick
        # What is there in order stays so; a step that is not there may be what is missing.
        low = np.where(failed, np.where(last >= 0, tick[np.maximum(last, 0)] if len(tick) else 0, start), 1)
        high = np.where(failed, end, 0)
        whom = [f" of {self.key.text(matched[0], int(members[0].event[at]))}" if self.key else "" for at in example]
        return Judgement(
            failed, low, high, last, lambda i: self._proof(view, reached[:, i], whom[i]),
            lambda: f"{', then '.join(map(str, self.steps))}, {len(groups):,} times", (*matched, *windows.looked_at),
            self._nothing(),
        )  # fmt: skip

    def _nothing(self) -> str:
        edge = None if self.scope is None else self.scope.opener or self.scope.closer
        return f"there is no {edge if edge is not None else self.steps[0]}"

    def _proof(self, view: View, reached: Ints, whom: str) -> Proof:
        rows = [int(row) for row in reached if row >= 0]
        missing = self.steps[len(rows)]
        if not rows:
            return Proof(f"there is no {missing}")
        last = rows[-1]
        text = (
            f"no {missing}{whom} comes after the {named(self.steps[len(rows) - 1], view, last)} {at_text(view, last)}"
        )
        return Proof(text, tuple(rows), (last,), window=(int(view.table.tick[last]), END_OF_TIME))


def all_before(earlier: Pattern | str, later: Pattern | str, *, per: Per | None = None) -> AllBefore:
    """Every event of one pattern comes before any of the other: `all_before("WorkerThreadEnd", "HostStop")`."""
    first, second = pattern_of(earlier), pattern_of(later)
    no_references(first, second)
    return AllBefore(first, second, Key.of(per))


def in_order(*steps: Pattern | str, per: Per | None = None) -> InOrder:
    """These events happen in this order, others between them or not; with `per`, for each key that has the first."""
    if len(steps) < 2:
        raise UsageError("an order has at least two events")
    patterns = tuple(pattern_of(step) for step in steps)
    no_references(*patterns)
    return InOrder(patterns, Key.of(per))
