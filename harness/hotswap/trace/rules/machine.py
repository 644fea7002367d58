"""State machines: what may happen to each key, and in what order. `machine` and `sequence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.rules.along import Along, along
from hotswap.trace.rules.answer import Proof
from hotswap.trace.rules.automaton import Automaton, possible
from hotswap.trace.rules.evidence import Loss
from hotswap.trace.rules.key import Key, Per
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints, Mask
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.refer import no_references
from hotswap.trace.rules.rule import Judgement, Rule, at_text, evidence_for, named
from hotswap.trace.rules.scope import held_fields

_MOST_ORDERS = 4096
_MOST_LOOKED_AT = 2000
"""Keys whose order or evidence is in doubt are looked at one by one: at most so many."""


@dataclass(frozen=True)
class Transition:
    """An event that leads from one state to another."""

    source: str
    pattern: Pattern
    target: str


@dataclass(frozen=True, eq=False)
class Machine(Rule):
    """The events of each key are one way through a state machine."""

    states: tuple[str, ...]
    transitions: tuple[Transition, ...]
    key: Key
    start: str | None
    end: tuple[str, ...] | None
    wording: str = ""

    def sentence(self) -> str:
        """The statement in words."""
        if self.wording:
            return f"{self.key.each()}{self.wording}"
        return f"{self.key.each()}events go the way of the states {', '.join(self.states)}"

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The events that lead from state to state, each once."""
        return tuple(dict.fromkeys(transition.pattern for transition in self.transitions))

    def judge(self, view: View) -> Judgement:
        """One instance a key."""
        run = _Run.of(self, view)
        line, groups = run.line, len(run.line.starts)
        row, last = line.row, line.ends - 1
        cpus = line.cpu(self.key)
        cpu = None if cpus is None or not groups else cpus[line.starts]
        undecided = self._in_every_order(view, run)
        failed = run.failed & ~undecided
        # Only now: whether and where a key goes wrong says what it depends on.
        low, high = self._depends_on(run, failed)
        undecided |= self._over_losses(view, run, failed, low, high, cpu)
        failed &= ~undecided
        wrong = run.wrong
        low, high = np.where(undecided, 1, low), np.where(undecided, 0, high)
        sure = failed & ~undecided & run.looked_at
        low, high = np.where(sure, 1, low), np.where(sure, 0, high)
        return Judgement(
            failed, low, high, row[np.where(wrong >= 0, wrong, last)] if groups else row,
            lambda i: self._proof(view, run, i),
            lambda: f"{len(line):,} events of {groups:,} {self._keys(groups)}, none out of order", line.looked_at,
            f"the trace has no {self.patterns[0]}", undecided, lambda i: self._proof(view, run, i).message
            + "; but with events missing this proves nothing", cpu,
        )  # fmt: skip

    def _keys(self, groups: int) -> str:
        if not self.key:
            return "sequence" if groups == 1 else "sequences"
        name = " and ".join(self.key.parts)
        return name if groups == 1 else f"{name}s"

    def _depends_on(self, run: _Run, failed: Mask) -> tuple[Ints, Ints]:
        """The time in which nothing may be missing, for each key."""
        line, wrong = run.line, run.wrong
        if not len(line.starts):
            return line.tick, line.tick
        low = line.tick[line.starts]
        windows = line.window[line.starts]
        high = line.tick[line.ends - 1] if self.end is None else line.windows.end[windows]
        high = np.where(wrong >= 0, line.tick[np.maximum(wrong, 0)], high)
        if self.start is not None:
            # What would have led from the start state to where the key is may be missing.
            low = np.where(failed, line.windows.start[windows], low)
        return low, high

    def _in_every_order(self, view: View, run: _Run) -> Mask:
        """Look again at keys that fail in the order of rows where their ticks allow another: they fail when none goes.

        Returns those that are too many to be looked at.
        """
        # Where a key may begin in any state, only one of them was tried.
        again = np.ones(len(run.failed), np.bool_) if self.start is None else np.zeros(len(run.failed), np.bool_)
        if view.order.tied:
            again |= run.tied
        doubtful = np.flatnonzero(run.failed & again)
        for group in doubtful[:_MOST_LOOKED_AT].tolist():
            run.settle(group, run.explore(group, (), self))
        return _at(doubtful[_MOST_LOOKED_AT:], len(again))

    def _over_losses(self, view: View, run: _Run, failed: Mask, low: Ints, high: Ints, cpu: Ints | None) -> Mask:
        """Keys that fail, and would not if what may be missing were there."""
        line, evidence = run.line, evidence_for(view, run.line.looked_at)
        doubtful = np.flatnonzero(failed & evidence.hits(low, high, cpu))
        undecided = _at(doubtful[_MOST_LOOKED_AT:], len(failed))
        for group in doubtful[:_MOST_LOOKED_AT].tolist():
            of_cpu = None if cpu is None else int(cpu[group])
            # Over what is missing before `high` it may go on, and fail later: what is missing up to there counts, too.
            end = int(line.windows.end[line.window[line.starts[group]]])
            stuck = run.explore(group, evidence.within(int(low[group]), end, of_cpu), self)
            undecided[group] = stuck is None
            if stuck is not None:
                run.settle(group, stuck)
        return undecided

    def _proof(self, view: View, run: _Run, group: int) -> Proof:
        line, at = run.line, int(run.wrong[group])
        start, end = int(line.starts[group]), int(line.ends[group])
        who = self.key.text(line.matched, int(line.event[start]))
        if at < 0:
            return self._ended(view, run, end - 1, who, int(run.final[group]))
        row = int(line.row[at])
        what = f"{named(run.pattern(at), view, row)}{f' of {who}' if who else ''} {at_text(view, row)}"
        if at == start:
            begin = f"the first is expected to be {self._due(self.start)}" if self.start else "no state allows it"
            return Proof(f"{what} comes first: {begin}", (row,), (row,), window=(BEGINNING, int(line.tick[at])))
        before, number = int(line.row[at - 1]), int(run.before[at])
        state = self.states[number] if 0 <= number < len(self.states) else None
        place = f"in state {state!r} " if state is not None and not self.wording else ""
        earlier = f"the {named(run.pattern(at - 1), view, before)} {at_text(view, before)}"
        text = f"{what} comes {place}after {earlier}, where {self._due(state)} is due"
        return Proof(text, (before, row), (row,))

    def _ended(self, view: View, run: _Run, last: int, who: str, final: int) -> Proof:
        row = int(run.line.row[last])
        event = f"{named(run.pattern(last), view, row)} {at_text(view, row)}"
        state = self.states[final] if final < len(self.states) else None
        if self.wording:
            due = self._due(state)
            text = f"{who or 'the sequence'} ends with the {event}, and {due} was due"
        else:
            expected = " or ".join(self.end or ())
            text = f"{who or 'the sequence'} ends in state {state!r} with the {event}, expected {expected!r}"
        return Proof(text, (row,), (row,), window=(int(run.line.tick[last]), END_OF_TIME))

    def _due(self, state: str | None) -> str:
        allowed = [str(transition.pattern) for transition in self.transitions if transition.source == state]
        return " or ".join(dict.fromkeys(allowed)) or "nothing more"


class _Run:
    """The way of each key. Positions are those of `line`."""

    def __init__(self, rule: Machine, line: Along, automaton: Automaton, symbol: Ints, symbols: list[Pattern]) -> None:
        self.line = line
        self.automaton = automaton
        self.symbol = symbol
        self._symbols = symbols
        groups = len(line.starts)
        start = _start_states(rule, automaton, symbol)
        self.before = automaton.run(symbol, start, line.fresh)
        after = automaton.step(symbol, self.before) if len(line) else self.before
        dead = (after == automaton.dead) & (self.before != automaton.dead)
        self.wrong = np.full(groups, -1)
        """Where it goes wrong: the first event that is not allowed; -1: nowhere."""
        self.wrong[line.group[dead]] = np.flatnonzero(dead)
        self.final = after[line.ends - 1] if groups else after
        accepting = set(rule.states) if rule.end is None else set(rule.end)
        good = np.array([state in accepting for state in rule.states] + [True], np.bool_)
        self.ended = (self.wrong < 0) & ~good[self.final] if groups else np.zeros(0, np.bool_)
        self.looked_at = np.zeros(groups, np.bool_)

    @classmethod
    def of(cls, rule: Machine, view: View) -> _Run:
        symbols = list(rule.patterns)
        everything = symbols[0]
        for pattern in symbols[1:]:
            everything = everything | pattern
        line = along(view, everything, rule.key, rule.scope)
        letters = _letters(view, rule, symbols, line)
        distinct, symbol = np.unique(letters, return_inverse=True) if len(letters) else (letters, letters)
        table = np.full((max(len(distinct), 1), len(rule.states)), len(rule.states), np.int16)
        for number, letter in enumerate(distinct.tolist()):
            for transition in rule.transitions:
                if letter >> symbols.index(transition.pattern) & 1:
                    source, target = rule.states.index(transition.source), rule.states.index(transition.target)
                    known = int(table[number, source])
                    if known not in (len(rule.states), target):
                        both = f"{rule.states[known]!r} and {transition.target!r}"
                        raise UsageError(f"in state {transition.source!r} one event leads to {both}: patterns overlap")
                    table[number, source] = target
        following = [0] * len(rule.states)
        for transition in rule.transitions:
            following[rule.states.index(transition.source)] |= 1 << rule.states.index(transition.target)
        patterns = [symbols[(letter & -letter).bit_length() - 1] for letter in distinct.tolist()]
        return cls(rule, line, Automaton(table, tuple(following)), symbol.reshape(-1).astype(np.int64), patterns)

    def pattern(self, at: int) -> Pattern:
        """What the event at a position is, for messages."""
        return self._symbols[int(self.symbol[at])]

    @property
    def tied(self) -> Mask:
        """Keys in which an event has the tick of the one before it, and another CPU."""
        line, order = self.line, self.line.matched.view.order
        row = line.row
        same = (order.tick[row[1:]] == order.tick[row[:-1]]) & (order.cpu[row[1:]] != order.cpu[row[:-1]])
        twins = np.append(False, same)[: len(row)] & ~line.fresh
        found = np.zeros(len(line.starts), np.bool_)
        found[line.group[twins]] = True
        return found

    def explore(self, group: int, losses: Sequence[Loss], rule: Machine) -> int | None:
        """Where one key goes wrong in every order that is allowed, over what may be missing; None: it need not."""
        line, order = self.line, self.line.matched.view.order
        positions = np.arange(int(line.starts[group]), int(line.ends[group]))
        rows, ticks = line.row[positions], line.tick[positions]
        cell = list(zip(ticks.tolist(), order.cpu[rows].tolist(), strict=True))
        first = np.append(BEGINNING, ticks[:-1])
        lost = np.zeros(len(positions), np.bool_)
        beyond = False
        for loss in losses:
            lost |= (loss.start <= ticks) & (loss.end >= first)
            beyond |= loss.end >= int(ticks[-1])
        everything = (1 << len(rule.states)) - 1
        begin = everything if rule.start is None else 1 << rule.states.index(rule.start)
        stuck, states = possible(
            self.automaton, self.symbol[positions].tolist(), cell, lost.tolist(), begin, _MOST_ORDERS
        )
        if stuck is not None:
            return int(positions[stuck])
        if rule.end is None:
            return None
        if beyond:
            states = self.automaton.closure(states)
        accepting = sum(1 << rule.states.index(state) for state in rule.end)
        return None if states & accepting else -1

    def settle(self, group: int, stuck: int | None) -> None:
        """Where a key surely goes wrong; None: nowhere."""
        self.wrong[group], self.ended[group] = (-1, False) if stuck is None else (stuck, stuck < 0)
        self.looked_at[group] = True

    @property
    def failed(self) -> Mask:
        """Keys that go wrong, or end where they must not."""
        return (self.wrong >= 0) | self.ended


def _at(positions: Ints, length: int) -> Mask:
    mask = np.zeros(length, np.bool_)
    mask[positions] = True
    return mask


def _start_states(rule: Machine, automaton: Automaton, symbol: Ints) -> Ints:
    """In what state a key begins. Without a start state: in one that allows its first event."""
    if rule.start is not None:
        return np.full(len(symbol), rule.states.index(rule.start))
    allowed = automaton.table != automaton.dead
    return np.argmax(allowed, axis=1)[symbol] if len(symbol) else symbol


def _letters(view: View, rule: Machine, symbols: list[Pattern], line: Along) -> Ints:
    """For each event which patterns it fits, as bits."""
    letters = np.zeros(len(line), np.int64)
    place = np.argsort(line.row, kind="stable")
    rows = line.row[place]
    for number, pattern in enumerate(symbols):
        fits = np.isin(rows, view.match(pattern, [*rule.key.fields, *held_fields(rule.scope)]).rows, assume_unique=True)
        letters[place[fits]] |= 1 << number
    return letters


def machine(
    transitions: Mapping[str, Mapping[Pattern | str, str]],
    *,
    per: Per | None = None,
    start: str | None = None,
    end: str | Sequence[str] | None = None,
) -> Machine:
    """What may happen in each state, and where it leads to.

    `machine({"waiting": {"IterationBegin": "running"}, "running": {"IterationEnd": "waiting"}}, per="Worker")`.
    All events that are named anywhere belong to the machine: one that the present state does not name is a failure;
    others are not looked at. `start`: in this state each key begins (None: in any). `end`: in one of these states it
    has to be when the trace ends (None: in any).
    """
    ends = None if end is None else (end,) if isinstance(end, str) else tuple(end)
    patterns: dict[str, Pattern] = {}
    steps = []
    for source, ways in transitions.items():
        for given, target in ways.items():
            pattern = patterns.setdefault(given, pattern_of(given)) if isinstance(given, str) else pattern_of(given)
            no_references(pattern)
            steps.append(Transition(source, pattern, target))
    states = tuple(dict.fromkeys([*transitions, *(step.target for step in steps)]))
    for state in (*([start] if start is not None else []), *(ends or ())):
        if state not in states:
            raise UsageError(f"the machine has no state {state!r}; it has: {', '.join(states) or 'none'}")
    if not steps:
        raise UsageError("the machine has no transition")
    _check_size(len(states), len({step.pattern for step in steps}))
    return Machine(states, tuple(steps), Key.of(per), start, ends)


def _check_size(states: int, patterns: int) -> None:
    if states > 1000 or patterns > 62:
        raise UsageError(f"a machine of {states} states and {patterns} kinds of events is too large (1000 and 62)")


@dataclass(frozen=True)
class Maybe:
    """A step of a sequence that may be left out; see `maybe`."""

    pattern: Pattern


def maybe(pattern: Pattern | str) -> Maybe:
    """A step of a sequence that may be left out."""
    return Maybe(pattern_of(pattern))


def sequence(
    *steps: Pattern | str | Maybe, per: Per | None = None, repeats: bool = True, whole: bool = True
) -> Machine:
    """The events of each key come in this order, again and again: `sequence("Begin", "Work", "End", per="Worker")`.

    `repeats=False`: once. `whole`: the last turn has to come to its end; else the trace may end in the midst of it.
    """
    chosen = [step if isinstance(step, Maybe) else pattern_of(step) for step in steps]
    if len(chosen) < 2 or all(isinstance(step, Maybe) for step in chosen):
        raise UsageError("a sequence has at least two steps, and not all of them may be left out")
    patterns = [step.pattern if isinstance(step, Maybe) else step for step in chosen]
    no_references(*patterns)
    optional = [isinstance(step, Maybe) for step in chosen]
    count = len(chosen)
    names = ("nothing yet", *(f"after {number}" for number in range(1, count + 1)))
    steps_made: list[Transition] = []
    for state in range(count + 1):
        for at in _next_steps(state, optional, repeats=repeats):
            steps_made.append(Transition(names[state], patterns[at], names[at + 1]))
    ends = [names[state] for state in range(count + 1) if all(optional[state:])]
    words = ", ".join(f"maybe {one.pattern}" if isinstance(one, Maybe) else str(one) for one in chosen)
    again = " again and again" if repeats else " once"
    _check_size(count + 1, len(set(patterns)))
    return Machine(
        names,
        tuple(steps_made),
        Key.of(per),
        names[0],
        tuple(ends) if whole else None,
        f"{words} come in this order{again}",
    )


def _next_steps(state: int, optional: list[bool], *, repeats: bool) -> list[int]:
    """The steps that may come after so many: up to the next that has to come, over the end if it goes on."""
    count, found, at = len(optional), list[int](), state
    while True:
        if at == count:
            if not repeats or state == 0:
                return found
            state_end, at = state, 0
            while at < state_end:
                if at not in found:
                    found.append(at)
                if not optional[at]:
                    return found
                at += 1
            return found
        found.append(at)
        if not optional[at]:
            return found
        at += 1
