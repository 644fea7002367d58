"""`each(...).satisfies(...)`: fields of each event fulfil conditions, also on what other events said last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import Compare, Condition, Values, value_name
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import BEGINNING, Ints, Mask, distinct
from hotswap.trace.rules.pattern import Latest, Pattern
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.scope import held_fields, members_of, windows_of


@dataclass(frozen=True, eq=False)
class Satisfies(Rule):
    """Each event fulfils conditions."""

    pattern: Pattern
    conditions: tuple[tuple[str, Condition], ...]

    def __post_init__(self) -> None:
        if not self.conditions:
            raise UsageError("satisfies needs conditions: each(...).satisfies(Status=0)")
        for name, condition in self.conditions:
            for reference in condition.references:
                if not isinstance(reference, Latest) or not isinstance(condition, Compare):
                    raise UsageError(f"{name}={condition}: here a field can be compared with latest(...) only")

    def sentence(self) -> str:
        """The statement in words."""
        parts = [f"{name} is {condition}" for name, condition in self.conditions]
        return f"of each {self.pattern} {' and '.join(parts)}"

    def judge(self, view: View) -> Judgement:
        """One instance an event."""
        matched = view.match(self.pattern, [*(name for name, _ in self.conditions), *held_fields(self.scope)])
        windows = windows_of(view, self.scope)
        event = distinct(members_of(view, self.scope, windows, matched).surely().event)
        failed = np.zeros(len(event), np.bool_)
        low, high = np.ones(len(event), np.int64), np.zeros(len(event), np.int64)
        asked = np.zeros(len(event), np.bool_)
        looked_at = [matched]
        for name, condition in self.conditions:
            values = matched[name][event]
            if not condition.references:
                failed |= ~condition.test(values)
                asked[:] = True
                continue
            assert isinstance(condition, Compare)
            assert isinstance(condition.operand, Latest)
            known = _Last.of(view, condition.operand, matched.rows[event])
            held = np.zeros(len(event), np.bool_)
            for said in (known.early, known.late):
                held |= condition.test(values, lambda _, said=said: said)  # type: ignore[misc]
            failed |= known.known & ~held
            asked |= known.known
            # Another word in between would be the last one.
            tick = matched.tick[event]
            low = np.where(known.known, np.where(known.row >= 0, view.table.tick[known.row], BEGINNING), low)
            high = np.where(known.known, tick, high)
            looked_at += known.matched
        event, failed, low, high = event[asked], failed[asked], low[asked], high[asked]
        return Judgement(
            failed, low, high, matched.rows[event], lambda i: self._proof(view, matched, int(event[i])),
            lambda: f"{len(event):,} {self.pattern}, {self._words()}", (*looked_at, *windows.looked_at),
            f"the trace has no {self.pattern}" if not len(matched) else f"there is no {self.pattern} to ask",
        )  # fmt: skip

    def _words(self) -> str:
        return " and ".join(f"{name} {condition}" for name, condition in self.conditions)

    def _proof(self, view: View, matched: Matched, event: int) -> Proof:
        row = int(matched.rows[event])
        who = f"{named(self.pattern, view, row)} {at_text(view, row)}"
        for name, condition in self.conditions:
            value, shown = matched[name][event : event + 1], matched.text(name, event)
            if not condition.references:
                if not condition.test(value)[0]:
                    return Proof(f"{who} has {name} {shown}, expected {condition}", (row,), (row,))
                continue
            assert isinstance(condition, Compare)
            assert isinstance(condition.operand, Latest)
            known = _Last.of(view, condition.operand, matched.rows[event : event + 1])
            said = [known.early, known.late]
            if known.known[0] and not any(condition.test(value, lambda _, one=one: one)[0] for one in said):  # type: ignore[misc]
                return self._against(view, row, f"{who} has {name} {shown}", condition, known)
        return Proof(who, (row,), (row,))

    def _against(self, view: View, row: int, who: str, condition: Compare, known: _Last) -> Proof:
        said = known.late[0]
        said = value_name(said.item() if isinstance(said, np.generic) else said)
        before = int(known.row[0])
        how = "" if condition.operator == "==" else f"{condition.operator} "
        if before < 0:
            return Proof(f"{who}, expected {how}{said}: nothing had been said before", (row,), (row,))
        source = view.table.kinds[int(view.table.kind[before])].name
        return Proof(f"{who}, expected {how}{said} by the {source} {at_text(view, before)}", (before, row), (row,))


@dataclass(frozen=True)
class _Last:
    """For each of some rows what was said last before it: by the events surely before (`early`) or maybe (`late`)."""

    early: Values
    late: Values
    known: Mask
    row: Ints
    """Of the event that said `late`; -1: none."""
    matched: list[Matched]

    @classmethod
    def of(cls, view: View, reference: Latest, rows: Ints) -> _Last:
        matched = [view.match(source.pattern, [source.field]) for source in reference.sources]
        said_at = np.concatenate([one.rows for one in matched])
        values = _column([one[source.field] for one, source in zip(matched, reference.sources, strict=True)])
        place = np.argsort(said_at, kind="stable")
        said_at, values = said_at[place], values[place]
        order = view.order
        early = np.searchsorted(said_at, rows, "left") - 1
        late = early.copy()
        if order.tied and len(rows):
            # Those of the same tick on other CPUs are not surely before; those that come later may have been.
            tied = np.searchsorted(said_at, order.tick_start[rows], "left") - 1
            own = np.searchsorted(said_at, order.cell_start[rows], "left") - 1
            early = np.where(own == early, tied, early)
            beyond = np.searchsorted(said_at, order.tick_end[rows], "left") - 1
            past = np.searchsorted(said_at, order.cell_end[rows], "left") - 1
            late = np.where(beyond > past, beyond, late)
        known = (early >= 0) | (reference.default is not None)
        row = np.where(late >= 0, said_at[late], -1) if len(said_at) else np.full(len(rows), -1)
        return cls(_said(values, early, reference.default), _said(values, late, reference.default), known, row, matched)


def _column(parts: list[Values]) -> Values:
    kinds = {part.dtype.kind for part in parts if len(part)}
    if kinds <= {"i", "u"}:
        return np.concatenate([part.astype(np.int64) for part in parts])
    return np.concatenate([part.astype(object) for part in parts]) if len(kinds) > 1 else np.concatenate(parts)


def _said(values: Values, at: Ints, default: object) -> Values:
    """The values at these places; the default at -1."""
    none = at < 0
    if not len(values):
        said: Values = np.empty(len(at), object)
        said[:] = [default] * len(at)
        return np.array(said.tolist()) if isinstance(default, (int, float)) else said
    said = values[np.maximum(at, 0)]
    if none.any() and default is not None:
        said = said.copy()
        said[none] = default
    return said
