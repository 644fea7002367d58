"""Rules evaluated row by row, as plainly as their definitions: what the vectorised ones are held to.

Each function gives the instances of a statement: (whether it fails, the time that depends on nothing missing or None,
whether it is undecided).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hotswap.trace.expect import Verdict
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from support.rule_traces import E, Small

Test = Callable[[E], bool]
Key = Callable[[E], object]


@dataclass
class Instance:
    failed: bool
    depends: tuple[int, int] | None = None
    undecided: bool = False
    cpu: int | None = None


@dataclass
class Window:
    opener: E | None
    closer: E | None

    @property
    def start(self) -> int:
        return self.opener.tick if self.opener else BEGINNING

    @property
    def end(self) -> int:
        return self.closer.tick if self.closer else END_OF_TIME


WHOLE = Window(None, None)


def one(_: E) -> object:
    return 0


def before(p: E, q: E) -> bool:
    """p certainly came before q."""
    return p.tick < q.tick or (p.tick == q.tick and p.cpu == q.cpu and p.row < q.row)


def lost(trace: Small, low: int, high: int, cpu: int | None = None) -> bool:
    return any(
        loss.start <= high and loss.end >= low and (cpu is None or loss.cpu in (None, cpu)) for loss in trace.losses
    )


def verdict(trace: Small, instances: Sequence[Instance]) -> tuple[Verdict, int]:
    """The verdict, and how many instances surely fail."""
    failed = unknown = 0
    for item in instances:
        touched = item.depends is not None and lost(trace, *item.depends, item.cpu)
        if item.undecided or touched:
            unknown += 1
        elif item.failed:
            failed += 1
    if failed:
        return Verdict.FAIL, failed
    return (Verdict.INCONCLUSIVE if unknown or not instances else Verdict.PASS), 0


def first_after(among: Iterable[E], p: E) -> E | None:
    """The first event that may have come after p: one of p's tick on another CPU, or else the next row."""
    may = [e for e in among if e is not p and not before(e, p)]
    return min(may, key=lambda e: e.row, default=None)


def windows(trace: Small, opener: Test, closer: Test, key: Key, *, closed: bool = False) -> list[tuple[object, Window]]:
    found: list[tuple[object, Window]] = []
    last: dict[object, E | str | None] = {}
    for o in filter(opener, trace.events):
        c = first_after([e for e in trace.events if closer(e) and key(e) == key(o)], o)
        if key(o) in last and last[key(o)] is c:
            continue
        last[key(o)] = c
        if c is not None or not closed:
            found.append((key(o), Window(o, c)))
    return found


def surely_inside(window: Window, x: E, *, ends: bool = False) -> bool:
    if x is window.opener or x is window.closer:
        return ends
    after = window.opener is None or before(window.opener, x)
    return after and (window.closer is None or before(x, window.closer))


def maybe_inside(window: Window, x: E) -> bool:
    if x is window.opener or x is window.closer:
        return False
    early = window.opener is not None and before(x, window.opener)
    return not early and not (window.closer is not None and before(window.closer, x))


def never(trace: Small, pattern: Test) -> list[Instance]:
    failed = any(map(pattern, trace.events))
    return [Instance(failed, None if failed else (BEGINNING, END_OF_TIME))]


def never_between(trace: Small, pattern: Test, opener: Test, closer: Test, key: Key, member: Key) -> list[Instance]:
    instances = []
    for of, window in windows(trace, opener, closer, key):
        bad = [e for e in trace.events if pattern(e) and member(e) in (of, None) and surely_inside(window, e)]
        instances.append(Instance(bool(bad), (window.start, bad[0].tick if bad else window.end)))
    return instances


def answered(
    trace: Small, subject: Test, target: Test, key: Key, limit: int | None, *, backward: bool = False,
    fits: Callable[[E, E], bool] = lambda a, b: True, scope: Sequence[Window] = (WHOLE,),
) -> list[Instance]:  # fmt: skip
    instances = []
    for window in scope:
        for a in filter(subject, trace.events):
            if not surely_inside(window, a) and window is not WHOLE:
                continue
            good = []
            for b in filter(target, trace.events):
                wrong_side = before(a, b) if backward else before(b, a)
                if b is a or key(a) != key(b) or wrong_side or not fits(a, b):
                    continue
                if window is not WHOLE and not maybe_inside(window, b):
                    continue
                if limit is None or abs(b.tick - a.tick) <= limit:
                    good.append(b)
            if good:
                instances.append(Instance(False))
                continue
            due = None if limit is None else a.tick - limit if backward else a.tick + limit
            if backward:
                low, high = max(window.start, due) if due is not None else window.start, a.tick
                undecided = due is not None and due < trace.start and window.opener is None
            else:
                low, high = a.tick, min(window.end, due) if due is not None else window.end
                undecided = due is not None and due > trace.end and window.closer is None
            instances.append(Instance(True, (low, high), undecided))
    return instances


def own_partners(trace: Small, subject: Test, target: Test, key: Key, *, backward: bool) -> list[tuple[E, E | None]]:
    """One by one: who waits first is served first."""
    waits, serves = (target, subject) if backward else (subject, target)
    queues: dict[object, list[E]] = {}
    pairs: list[tuple[E, E | None]] = []
    alone: list[E] = []
    for e in trace.events:
        queue = queues.setdefault(key(e), [])
        if serves(e):
            if queue:
                other = queue.pop(0)
                pairs.append((e, other) if backward else (other, e))
            elif backward:
                alone.append(e)
        elif waits(e):
            queue.append(e)
    if not backward:
        alone = [e for queue in queues.values() for e in queue]
    return [*pairs, *((e, None) for e in alone)]


def own_answered(
    trace: Small, subject: Test, target: Test, key: Key, limit: int | None, *, backward: bool
) -> list[Instance]:
    instances = []
    for a, b in own_partners(trace, subject, target, key, backward=backward):
        if b is not None and (limit is None or abs(a.tick - b.tick) <= limit):
            instances.append(Instance(False, (min(a.tick, b.tick), max(a.tick, b.tick))))
            continue
        due = None if limit is None else a.tick - limit if backward else a.tick + limit
        if backward:
            depends = (BEGINNING if due is None else due, a.tick)
            undecided = due is not None and due < trace.start
        else:
            depends = (a.tick, END_OF_TIME if due is None else due)
            undecided = due is not None and due > trace.end
        instances.append(Instance(True, depends, undecided))
    return instances


def counts(
    trace: Small, pattern: Test, low: int | None, high: int | None, key: Key, for_each: Test | None = None,
    scope: Sequence[Window] = (WHOLE,), *, keyed: bool,
) -> list[Instance]:  # fmt: skip
    instances = []
    for window in scope:
        inside = [e for e in trace.events if window is WHOLE or maybe_inside(window, e)]
        keys: list[object] = [None]
        if keyed:
            asked = for_each or pattern
            sure = [e for e in inside if asked(e) and (window is WHOLE or surely_inside(window, e))]
            keys = list(dict.fromkeys(key(e) for e in (sure if for_each else filter(asked, inside))))
        for k in keys:
            mine = [e for e in inside if pattern(e) and (not keyed or key(e) == k)]
            sure_ones = [e for e in mine if window is WHOLE or surely_inside(window, e)]
            if high is not None and len(sure_ones) > high:
                closing = window.closer is not None or window.opener is not None
                instances.append(Instance(True, (window.start, sure_ones[high].tick) if closing else None))
            elif low is not None and len(mine) < low:
                instances.append(Instance(True, (window.start, window.end)))
            else:
                instances.append(Instance(False, None if high is None else (window.start, window.end)))
    return instances


def at_most_in_any(trace: Small, pattern: Test, count: int, key: Key, limit: int) -> list[Instance]:
    """`limit` in ticks: less than that."""
    instances = []
    for a in filter(pattern, trace.events):
        close = [
            e for e in trace.events
            if pattern(e) and key(e) == key(a) and e.row >= a.row and e.tick - a.tick < limit
        ]  # fmt: skip
        failed = len(close) > count
        instances.append(Instance(failed, None if failed else (a.tick, a.tick + limit - 1)))
    return instances


def at_least_in_every(trace: Small, pattern: Test, count: int, key: Key, limit: int, *, keyed: bool) -> list[Instance]:
    mine = list(filter(pattern, trace.events))
    instances = []
    for k in dict.fromkeys(map(key, mine)) if keyed else [None]:
        ticks = [e.tick for e in mine if not keyed or key(e) == k]
        moments = [trace.start, *ticks, trace.end]
        for at in range(len(moments) - 1):
            end = moments[min(at + count, len(moments) - 1)]
            failed = end - moments[at] > limit
            short = not failed and at == 0 and count >= len(moments) - 1
            instances.append(Instance(failed, (moments[at], end) if failed else None, undecided=short))
    return instances


def rising(trace: Small, pattern: Test, key: Key, *, strictly: bool) -> list[Instance]:
    mine = list(filter(pattern, trace.events))
    return [
        Instance(any(key(p) == key(q) and before(p, q) and (p.v >= q.v if strictly else p.v > q.v) for p in mine))
        for q in mine
    ]


def contiguous(trace: Small, pattern: Test, key: Key, start: int | None) -> list[Instance]:
    """Without ties."""
    instances = []
    last: dict[object, E] = {}
    for e in filter(pattern, trace.events):
        previous = last.get(key(e))
        due = (e.v if start is None else start) if previous is None else previous.v + 1
        gap = (BEGINNING if previous is None else previous.tick, e.tick)
        instances.append(Instance(e.v != due, gap if e.v > due else None))
        last[key(e)] = e
    return instances


def unique(trace: Small, pattern: Test, key: Key) -> list[Instance]:
    mine = list(filter(pattern, trace.events))
    return [Instance(any(p.row < q.row and key(p) == key(q) and p.v == q.v for p in mine)) for q in mine]


def constant(trace: Small, pattern: Test, key: Key) -> list[Instance]:
    mine = list(filter(pattern, trace.events))
    return [Instance(next(p for p in mine if key(p) == key(q)).v != q.v) for q in mine]


Table = dict[str, dict[str, str]]


def machine(trace: Small, table: Table, key: Key, start: str | None, end: tuple[str, ...] | None) -> list[Instance]:
    """In every order that the ticks allow, over what may be missing: a set of states for each order."""
    letters = {name for ways in table.values() for name in ways}
    states = set(table) | {target for ways in table.values() for target in ways.values()}
    mine = [e for e in trace.events if e.name in letters]

    def anything(found: set[str]) -> set[str]:
        while True:
            more = found | {target for state in found for target in table.get(state, {}).values()}
            if more == found:
                return found
            found = more

    def in_every_order(left: frozenset[int], chosen: list[E], now: set[str]) -> set[str]:
        """The states after `left` of the chosen events, whichever may come first; each set of them is asked once."""
        ways: dict[frozenset[int], set[str]] = {left: now}
        for _ in chosen:
            further: dict[frozenset[int], set[str]] = {}
            for rest, here in ways.items():
                for i in rest:
                    if not any(before(chosen[j], chosen[i]) for j in rest):
                        name = chosen[i].name
                        reached = {table[state][name] for state in here if name in table.get(state, {})}
                        further.setdefault(rest - {i}, set()).update(reached)
            ways = further
        return ways.get(frozenset(), set())

    def run(events: list[E], *, forgiving: bool) -> tuple[bool, set[str]]:
        now = {start} if start is not None else set(states)
        previous = BEGINNING
        for tick, group in itertools.groupby(events, key=lambda e: e.tick):
            chosen = list(group)
            if forgiving and lost(trace, previous, tick):
                now = anything(now)
            reached = in_every_order(frozenset(range(len(chosen))), chosen, now)
            now, previous = reached, tick
            if not now:
                return False, now
        if end is None:
            return True, now
        if forgiving and lost(trace, previous, END_OF_TIME):
            now = anything(now)
        return bool(now & set(end)), now

    instances = []
    for k in dict.fromkeys(map(key, mine)):
        events = [e for e in mine if key(e) == k]
        good, _ = run(events, forgiving=False)
        if good:
            instances.append(Instance(False, (events[0].tick, END_OF_TIME if end is not None else events[-1].tick)))
            continue
        surely = not run(events, forgiving=True)[0]
        instances.append(Instance(True, None, undecided=not surely))
    return instances


def in_pairs(trace: Small, begin: Test, end: Test, key: Key, deepest: int | None) -> list[Instance]:
    """Without ties; one instance a begin or end."""
    mine = [e for e in trace.events if begin(e) or end(e)]
    instances: dict[int, Instance] = {}
    for k in dict.fromkeys(map(key, mine)):
        events = [e for e in mine if key(e) == k]
        stack: list[E] = []
        for e in events:
            if begin(e):
                stack.append(e)
                deep = deepest is not None and len(stack) > deepest
                instances[e.row] = Instance(deep, (events[0].tick, e.tick) if deep else None)
            elif stack:
                stack.pop()
                instances[e.row] = Instance(False)
            else:
                instances[e.row] = Instance(True, (BEGINNING, e.tick))
        for e in stack:
            instances[e.row] = Instance(True, (e.tick, END_OF_TIME))
    return list(instances.values())


def percentile(trace: Small, first: Test, second: Test, key: Key, share: float, limit: int) -> list[Instance]:
    """The figure when what may be missing took no time, and when it took for ever."""
    sure, unsure = [], 0
    answered_ones = 0
    for a in filter(first, trace.events):
        b = first_after([e for e in trace.events if second(e) and key(e) == key(a)], a)
        if lost(trace, a.tick, END_OF_TIME if b is None else b.tick):
            unsure += 1
            answered_ones += b is not None
        elif b is not None:
            sure.append(b.tick - a.tick)
            answered_ones += 1
    if not answered_ones and not unsure:
        return []
    verdicts = []
    for guess in (0, math.inf):
        values = sorted([*sure, *[guess] * unsure])
        rank = max(1, math.ceil(share * len(values) / 100))
        verdicts.append(bool(values) and values[rank - 1] > limit)
    return [Instance(verdicts[0] and verdicts[1], None, undecided=verdicts[0] != verdicts[1])]


def all_before(trace: Small, earlier: Test, later: Test, key: Key) -> list[Instance]:
    instances = []
    for e in filter(earlier, trace.events):
        others = [x for x in trace.events if later(x) and key(x) == key(e)]
        if others:
            instances.append(Instance(any(before(x, e) for x in others)))
    return instances


def in_order(trace: Small, steps: Sequence[Test], key: Key) -> list[Instance]:
    """Without ties."""
    instances = []
    firsts = list(filter(steps[0], trace.events))
    for k in dict.fromkeys(map(key, firsts)):
        at, last = -1, BEGINNING
        for step in steps:
            found = next((e for e in trace.events if step(e) and key(e) == k and e.row > at), None)
            if found is None:
                instances.append(Instance(True, (last, END_OF_TIME)))
                break
            at, last = found.row, found.tick
        else:
            instances.append(Instance(False))
    return instances


def said_last(trace: Small, pattern: Test, source: Test, default: int | None) -> list[Instance]:
    """Each event has the value that the last source before it has; at equal ticks, either will do."""
    instances = []
    for e in filter(pattern, trace.events):
        surely = [s for s in trace.events if source(s) and before(s, e)]
        maybe = [s for s in trace.events if source(s) and s is not e and not before(e, s)]
        early = max(surely, key=lambda s: s.row, default=None)
        late = max(maybe, key=lambda s: s.row, default=None)
        if early is None and default is None:
            continue
        values = {default if s is None else s.v for s in (early, late)}
        instances.append(Instance(e.v not in values, (BEGINNING if late is None else late.tick, e.tick)))
    return instances


def agreeing(trace: Small, subject: Test, other: Test, key: Key) -> list[Instance]:
    instances = []
    for a in filter(subject, trace.events):
        others = [e for e in trace.events if other(e) and key(e) == key(a) and e is not a]
        earlier = max((e for e in others if not before(a, e)), key=lambda e: e.row, default=None)
        b = earlier or first_after(others, a)
        if b is not None:
            instances.append(Instance(a.v != b.v, (min(a.tick, b.tick), max(a.tick, b.tick))))
    return instances
