"""Begin and end: `pairs` balanced along each key, `nested` like brackets of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.pairs import match_nested
from hotswap.trace.rules.along import Along, along
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.condition import Values
from hotswap.trace.rules.key import Key, Per
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import END_OF_TIME, Ints, Mask
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, named
from hotswap.trace.rules.scope import held_fields

_UNOPENED, _UNCLOSED, _MISMATCH, _TOO_DEEP = 1, 2, 3, 4


@dataclass(frozen=True, eq=False)
class Nested(Rule):
    """Along each key every begin has its end, inside those that were begun before it."""

    kinds: tuple[tuple[Pattern, Pattern], ...]
    key: Key
    deepest: int | None

    def sentence(self) -> str:
        """The statement in words."""
        words = " and ".join(f"{begin} and {end}" for begin, end in self.kinds)
        how = "come in pairs" if self.deepest == 1 else "are nested"
        deepest = "" if self.deepest in (None, 1) else f", at most {self.deepest} deep"
        return f"{self.key.each()}{words} {how}{deepest}"

    def judge(self, view: View) -> Judgement:
        """One instance a begin or end."""
        line, kind, opens = self._events(view)
        count = len(line)
        partner = match_nested(line.group, opens)
        fault = np.where(partner >= 0, 0, np.where(opens, _UNCLOSED, _UNOPENED))
        level = _depths(line, opens, partner)
        wrong = (partner >= 0) & ~opens
        wrong[wrong] = kind[wrong] != kind[partner[wrong]]
        fault[wrong] = _MISMATCH
        if self.deepest is not None:
            fault[opens & (level > self.deepest) & (fault == 0)] = _TOO_DEEP
        tick = line.tick
        window = line.windows
        start, end = window.start[line.window], window.end[line.window]
        lower = np.where(fault == _UNOPENED, start, tick)
        upper = np.where(fault == _UNCLOSED, end, tick)
        first = tick[line.starts][line.group] if count else tick
        lower = np.where(fault == _TOO_DEEP, first, lower)
        lower = np.where(fault == _MISMATCH, tick[np.maximum(partner, 0)] if count else tick, lower)
        # What was missing between the two did not matter, as far as they are concerned.
        none = fault == 0
        lower, upper = np.where(none, 1, lower), np.where(none, 0, upper)
        lenient = self._only_by_order(view, line, fault) if view.order.tied else np.zeros(count, np.bool_)
        return Judgement(
            (fault > 0) & ~lenient, lower, upper, line.row,
            lambda i: self._proof(view, line, fault, kind, partner, level, i),
            lambda: f"{count // 2:,} pairs, {int(level.max(initial=0))} deep at most", line.looked_at,
            f"the trace has no {self.kinds[0][0]}", cpu=line.cpu(self.key),
        )  # fmt: skip

    def _events(self, view: View) -> tuple[Along, Ints, Values]:
        everything = self.kinds[0][0] | self.kinds[0][1]
        for begin, end in self.kinds[1:]:
            everything = everything | begin | end
        line = along(view, everything, self.key, self.scope)
        kind, opens = np.zeros(len(line), np.int64), np.zeros(len(line), np.bool_)
        place = np.argsort(line.row, kind="stable")
        rows, taken = line.row[place], np.zeros(len(line), np.bool_)
        for number, pair in enumerate(self.kinds):
            for begins, pattern in zip((True, False), pair, strict=True):
                rows_of: Matched = view.match(pattern, [*self.key.fields, *held_fields(self.scope)])
                mine = place[np.isin(rows, rows_of.rows, assume_unique=True)]
                if taken[mine].any():
                    raise UsageError(f"{pattern} fits an event that is begin or end of something else, too")
                taken[mine], kind[mine], opens[mine] = True, number, begins
        if view.order.tied and len(line):
            line, kind, opens = _favourable(view, line, kind, opens)
        return line, kind, opens

    def _only_by_order(self, view: View, line: Along, fault: Ints) -> Values:
        """Faults that another order of equal ticks would undo: those of a key in a tick of several CPUs."""
        order, row = view.order, line.row
        cells = order.cell_end[row] - order.cell_start[row]
        several = order.tick_end[row] - order.tick_start[row] > cells
        return np.asarray(several & ((fault == _TOO_DEEP) | (fault == _MISMATCH)), np.bool_)

    def _proof(self, view: View, line: Along, fault: Ints, kind: Ints, partner: Ints, level: Ints, at: int) -> Proof:
        row, what = int(line.row[at]), int(fault[at])
        begin, end = self.kinds[int(kind[at])]
        of = f" of {self.key.text(line.matched, int(line.event[at]))}" if self.key else ""
        if what == _UNOPENED:
            text = f"{named(end, view, row)}{of} {at_text(view, row)} ends what was not begun"
            before = [int(line.row[at - 1])] if at and not line.fresh[at] else []
            return Proof(text, (*before, row), (row,))
        who = f"{named(begin, view, row)}{of} {at_text(view, row)}"
        if what == _UNCLOSED:
            after = [int(line.row[at + 1])] if at + 1 < len(line) and not line.fresh[at + 1] else []
            return Proof(f"{who} is never ended", (row, *after), (row,), window=(int(line.tick[at]), END_OF_TIME))
        if what == _TOO_DEEP:
            around = _outer(line, level, at)
            within = f"inside another that began {at_text(view, int(line.row[around]))}" if around is not None else ""
            depth = f"{int(level[at])} deep, at most {self.deepest} is allowed" if self.deepest != 1 else within
            rows = (row,) if around is None else (int(line.row[around]), row)
            return Proof(f"{who} begins {depth}", rows, (row,))
        opened = int(partner[at])
        other = self.kinds[int(kind[opened])][0]
        outer = f"{named(other, view, int(line.row[opened]))} {at_text(view, int(line.row[opened]))}"
        text = f"{named(end, view, row)}{of} {at_text(view, row)} ends while the {outer} is open"
        return Proof(text, (int(line.row[opened]), row), (row,))


def _depths(line: Along, opens: Mask, partner: Ints) -> Ints:
    """How deep each begin lies, from 1 on; an end as deep as its begin."""
    if not len(line):
        return line.event
    step = np.where(opens, 1, np.where(partner >= 0, -1, 0))
    total = np.cumsum(step)
    total -= (total - step)[line.fresh][line.group]
    return np.where(opens, total, total + 1)


def _favourable(view: View, line: Along, kind: Ints, opens: Values) -> tuple[Along, Ints, Values]:
    """In ticks with events of several CPUs, begins come before ends: no end is without its begin by such an order."""
    order, row = view.order, line.row
    several = order.tick_end[row] - order.tick_start[row] > order.cell_end[row] - order.cell_start[row]
    place = np.lexsort((row, np.where(several & ~opens, 1, 0), line.tick, line.group))
    moved = Along(line.matched, line.windows, line.event[place], line.window[place], line.fresh, line.group)
    return moved, kind[place], opens[place]


def _outer(line: Along, level: Ints, at: int) -> int | None:
    """The begin around one."""
    begin = int(line.starts[line.group[at]])
    around = np.flatnonzero(level[begin:at] == level[at] - 1)
    return begin + int(around[-1]) if len(around) else None


def pairs(begin: Pattern | str, end: Pattern | str, *, per: Per | None = None) -> Nested:
    """Begin and end take turns along each key: none without the other, none inside another."""
    return _nested([(begin, end)], per, 1)


def nested(*kinds: tuple[Pattern | str, Pattern | str], per: Per | None = None, deepest: int | None = None) -> Nested:
    """Begins and ends of several kinds lie in each other like brackets: `nested(("Lock", "Unlock"), per=thread)`."""
    return _nested(kinds, per, deepest)


def _nested(kinds: Sequence[tuple[Pattern | str, Pattern | str]], per: Per | None, deepest: int | None) -> Nested:
    if not kinds or not all(isinstance(kind, tuple) and len(kind) == 2 for kind in kinds):
        raise UsageError('nested needs pairs of begin and end: nested(("Lock", "Unlock"))')
    if deepest is not None and deepest < 1:
        raise UsageError(f"deepest is {deepest}; it is at least 1")
    patterns = tuple((pattern_of(begin), pattern_of(end)) for begin, end in kinds)
    no_references(*(pattern for pair in patterns for pattern in pair))
    return Nested(patterns, Key.of(per), deepest)
