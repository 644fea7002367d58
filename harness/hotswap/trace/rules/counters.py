"""Counters that must agree: what a driver counted against what the trace has. `agree`, `count`, `total`, `value`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.answer import MAX_SLICE, Proof
from hotswap.trace.rules.condition import compare
from hotswap.trace.rules.key import Key, Per, codes_of
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import Ints, Mask
from hotswap.trace.rules.pattern import Pattern, Ref, pattern_of
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule
from hotswap.trace.rules.scope import Windows, held_fields, members_of, windows_of

_WORDS = {"==": "equals", "<=": "is at most", ">=": "is at least", "<": "is less than", ">": "is more than"}

_EXPECTED = {"==": "", "<=": "at most ", ">=": "at least ", "<": "less than ", ">": "more than "}


@dataclass(frozen=True)
class Quantity:
    """A number that the trace gives, for all of it or for each key."""

    kind: str
    """`count`, `total`, `value`."""
    pattern: Pattern
    field: str = ""

    def __str__(self) -> str:
        if self.kind == "count":
            return f"the number of {self.pattern}"
        return f"the {'sum of ' if self.kind == 'total' else ''}{self.field} of {self.pattern}"


Side: TypeAlias = Quantity | Ref | int | Mapping[int, int]
"""A number of the trace, a number given, or one given for each key."""


@dataclass(frozen=True, eq=False)
class Agree(Rule):
    """Two numbers are equal, or in another relation: in each window, for each key."""

    one: Quantity | int | Mapping[int, int]
    other: Quantity | int | Mapping[int, int]
    relation: str
    key: Key

    def sentence(self) -> str:
        """The statement in words."""
        return f"{self.key.each()}{_side(self.one)} {_WORDS[self.relation]} {_side(self.other)}"

    def judge(self, view: View) -> Judgement:
        """One instance a window and key."""
        windows = windows_of(view, self.scope)
        sides = [_Side.of(view, side, self.key, self, windows) for side in (self.one, self.other)]
        groups = _groups(sides, windows, self.key)
        numbers = [side.numbers(groups) for side in sides]
        told = [side.told(groups) for side in sides]
        asked = told[0] & told[1] if self.key else np.ones(len(groups[0]), np.bool_)
        failed = asked & ~compare(numbers[0], self.relation, numbers[1])
        low, high = windows.start[groups[1]], windows.end[groups[1]]
        silent = ~(told[0] & told[1])
        at = np.maximum(*(side.last_row(groups) for side in sides))
        looked_at = (*(side.matched for side in sides if side.matched is not None), *windows.looked_at)
        keep = np.flatnonzero(told[0] | told[1])
        missing = silent & (told[0] | told[1])

        def prove(i: int) -> Proof:
            return self._proof(view, sides, groups, numbers, int(keep[i]))

        def why(i: int) -> str:
            side = self.one if not told[0][keep[i]] else self.other
            return f"{_side(side)} is not told{self._whom(groups, sides, int(keep[i]))}"

        return Judgement(
            (failed & ~silent)[keep], low[keep], high[keep], at[keep], prove,
            lambda: self._holds(numbers, keep), looked_at, self._nothing(sides), missing[keep], why,
        )  # fmt: skip

    def _nothing(self, sides: list[_Side]) -> str:
        patterns = [side.pattern for side in sides if side.pattern is not None]
        return f"the trace has no {patterns[0]}" if patterns else "nothing was given"

    def _holds(self, numbers: list[Ints], keep: Ints) -> str:
        if len(keep) == 1 and not isinstance(self.other, Quantity):
            return f"{_side(self.one)} is {int(numbers[0][keep[0]]):,}, as expected"
        if len(keep) == 1:
            return (
                f"{_side(self.one)} is {int(numbers[0][keep[0]]):,}, {_side(self.other)} {int(numbers[1][keep[0]]):,}"
            )
        return f"{_side(self.one)} {_WORDS[self.relation]} {_side(self.other)}, {len(keep):,} times"

    def _whom(self, groups: tuple[Ints, Ints, list[str]], sides: list[_Side], group: int) -> str:
        del sides
        return f" for {groups[2][group]}" if groups[2][group] else ""

    def _proof(
        self, view: View, sides: list[_Side], groups: tuple[Ints, Ints, list[str]], numbers: list[Ints], group: int
    ) -> Proof:
        one, other = int(numbers[0][group]), int(numbers[1][group])
        told = f"{_side(self.one)}{self._whom(groups, sides, group)} is {one:,}"
        if not isinstance(self.other, Quantity):
            text = f"{told}, expected {_EXPECTED[self.relation]}{other:,}"
        elif self.relation == "==":
            text = (
                f"{told}, {_side(self.other)} is {other:,}: {abs(one - other):,} {'more' if one < other else 'fewer'}"
            )
        else:
            text = (
                f"{told}, {_side(self.other)} is {other:,}; the first was expected to be {_EXPECTED[self.relation]}that"
            )
        rows = [row for side in sides for row in side.shown(groups, group)]
        marked = [row for side in sides for row in side.shown(groups, group) if side.kind != "count"]
        return Proof(text, tuple(rows[:MAX_SLICE]), tuple(marked[:MAX_SLICE]))


@dataclass
class _Side:
    """One of the two numbers. `code` is the key of each event, as text where it is given by hand."""

    kind: str
    pattern: Pattern | None
    matched: Matched | None
    event: Ints
    window: Ints
    values: Ints
    given: int | Mapping[int, int] | None
    code: Ints
    keys: list[str]

    @classmethod
    def of(cls, view: View, side: Quantity | int | Mapping[int, int], key: Key, rule: Agree, windows: Windows) -> _Side:
        none = np.zeros(0, np.int64)
        if not isinstance(side, Quantity):
            return cls("given", None, None, none, none, none, side, none, [])
        fields = [*key.fields, *held_fields(rule.scope), *([side.field] if side.field else [])]
        matched = view.match(side.pattern, fields)
        members = members_of(view, rule.scope, windows, matched).surely()
        values = np.ones(len(members.event), np.int64)
        if side.field:
            column = matched[side.field][members.event]
            if column.dtype.kind not in "iu":
                raise UsageError(f"{side.field} of {side.pattern} is no integer, so that it cannot be counted with")
            values = column.astype(np.int64)
        return cls(side.kind, side.pattern, matched, members.event, members.window, values, None, none, [])

    def columns(self, key: Key) -> list[Ints]:
        """The key of each event, and its window."""
        assert self.matched is not None
        return [*(self.matched[name][self.event] for name in key.fields), self.window]

    def numbers(self, groups: tuple[Ints, Ints, list[str]]) -> Ints:
        count = len(groups[0])
        if self.kind == "given":
            if isinstance(self.given, Mapping):
                return np.array([_signed(self.given.get(int(code), 0)) for code in groups[0]], np.int64)
            assert isinstance(self.given, int)
            return np.full(count, _signed(self.given), np.int64)
        if self.kind == "value":
            result = np.zeros(count, np.int64)
            result[self.code] = self.values  # the last one counts
            return result
        result = np.zeros(count, np.int64)
        np.add.at(result, self.code, self.values)
        return result

    def told(self, groups: tuple[Ints, Ints, list[str]]) -> Mask:
        """For which groups there is a number: a count is always one."""
        count = len(groups[0])
        if self.kind == "given":
            if isinstance(self.given, Mapping):
                return np.array([int(code) in self.given for code in groups[0]], np.bool_)
            return np.ones(count, np.bool_)
        if self.kind in ("count", "total"):
            return np.ones(count, np.bool_)
        known = np.zeros(count, np.bool_)
        known[self.code] = True
        return known

    def last_row(self, groups: tuple[Ints, Ints, list[str]]) -> Ints:
        row = np.full(len(groups[0]), -1)
        if self.matched is not None:
            row[self.code] = self.matched.rows[self.event]
        return row

    def shown(self, groups: tuple[Ints, Ints, list[str]], group: int) -> list[int]:
        """The events behind a number: of a count, none; of a sum or a value, those that say it."""
        del groups
        if self.matched is None or self.kind == "count":
            return []
        mine = self.matched.rows[self.event[self.code == group]].tolist()
        return [int(row) for row in (mine[-1:] if self.kind == "value" else mine[-MAX_SLICE:])]


def _groups(sides: list[_Side], windows: Windows, key: Key) -> tuple[Ints, Ints, list[str]]:
    """The keys and windows there are: the value of a single numeric key, the window, and the name."""
    events = [side for side in sides if side.matched is not None]
    if not key:
        for side in events:
            side.code = side.window
        return np.arange(len(windows)), np.arange(len(windows)), [""] * len(windows)
    columns = list(zip(*(side.columns(key) for side in events), strict=True))
    lengths = [len(side.event) for side in events]
    codes = codes_of(columns, lengths, 1)
    distinct, first = np.unique(np.concatenate(codes), return_index=True)
    for side, code in zip(events, codes, strict=True):
        side.code = np.searchsorted(distinct, code)
    owner = np.searchsorted(np.cumsum(lengths), first, "right")
    offset = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    names, value, window = [], np.zeros(len(distinct), np.int64), np.zeros(len(distinct), np.int64)
    for number, (at, which) in enumerate(zip(first.tolist(), owner.tolist(), strict=True)):
        side, event = events[which], at - int(offset[which])
        assert side.matched is not None
        names.append(key.text(side.matched, int(side.event[event])))
        window[number] = side.window[event]
        if len(key.fields) == 1 and side.matched[key.fields[0]].dtype.kind in "iu":
            value[number] = int(side.matched[key.fields[0]][side.event[event]])
    return value, window, names


def _signed(number: int) -> int:
    """A number of 64 bits as numpy holds it: fields of either sign are compared by their bits."""
    low = number & 0xFFFF_FFFF_FFFF_FFFF
    return low - (1 << 64) if low >> 63 else low


def _side(side: Quantity | int | Mapping[int, int]) -> str:
    if isinstance(side, Quantity):
        return str(side)
    return "the number given" if isinstance(side, Mapping) else f"{side:,}"


def count(pattern: Pattern | str) -> Quantity:
    """How many there are."""
    return Quantity("count", _alone(pattern))


def total(ref: Ref) -> Quantity:
    """The sum of a field: `total(event("LoadStop")["Signals"])`."""
    return Quantity("total", _alone(ref.pattern), ref.field)


def value(ref: Ref) -> Quantity:
    """What the last such event says: `value(event("HostStop")["Iterations"])`; the field alone means the same."""
    return Quantity("value", _alone(ref.pattern), ref.field)


def agree(one: Side, other: Side, *, per: Per | None = None, relation: str = "==") -> Agree:
    """Two numbers are equal: `agree(event("HostStop")["Iterations"], count("IterationBegin"))`.

    Numbers of the trace, numbers given, or with `per` a mapping from the value of the key. `relation`: == <= >= < >.
    """
    if relation not in _WORDS:
        raise UsageError(f"relation {relation!r}; it is one of {' '.join(_WORDS)}")
    sides = [value(side) if isinstance(side, Ref) else side for side in (one, other)]
    key = Key.of(per)
    for side in sides:
        if isinstance(side, Mapping) and len(key.fields) != 1:
            raise UsageError("numbers given for each key need per= with one field")
        if not isinstance(side, (Quantity, int, Mapping)):
            raise UsageError(f"{side!r} is no number: give one, count(...), total(...) or a field of an event")
    if key and not any(isinstance(side, Quantity) for side in sides):
        raise UsageError("of two numbers with per=, one must come from the trace")
    return Agree(sides[0], sides[1], relation, key)


def _alone(pattern: Pattern | str) -> Pattern:
    chosen = pattern_of(pattern)
    no_references(chosen)
    return chosen
