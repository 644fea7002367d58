"""What all rules have in common: their name, the windows that they are held to, and how a verdict is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import Verdict
from hotswap.trace.rules.answer import Answer, Proof
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.key import Key, Per, thread
from hotswap.trace.rules.matched import Matched, View
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME, Ints, Mask, distinct
from hotswap.trace.rules.pattern import Pattern, pattern_of
from hotswap.trace.rules.scope import Scope, not_recorded
from hotswap.trace.rules.span import Span
from hotswap.trace.table import EventTable

if TYPE_CHECKING:
    from hotswap.trace.rules.combine import Combined

_MOST_POINTS = 1000


class HasView(Protocol):
    """What rules can be asked of: `open_trace`, and the trace of a test."""

    def __rules_view__(self) -> View:
        """The trace as rules look at it."""
        ...


Teller: TypeAlias = "Callable[[Proof, View], str | Proof]"
Trace: TypeAlias = HasView | View | EtlFile | EventTable
"""What a rule can be asked of. A table alone is taken as complete."""


@dataclass
class Judgement:
    """What a rule found for each of its instances: arrays of one length.

    `low` to `high` are the raw ticks that an instance, as it came out, depends on: what is missing there could have
    made it come out otherwise. Where they cross, nothing missing could.
    """

    failed: Mask
    low: Ints
    high: Ints
    at: Ints
    """Where it is seen, as a row: the earliest failure is the one that is told."""
    prove: Callable[[int], Proof]
    """Why an instance fails."""
    passed: Callable[[], str]
    """What holds, in words."""
    matched: tuple[Matched, ...]
    """All events that were looked at."""
    nothing: str
    """What to say when there is no instance."""
    undecided: Mask | None = None
    """Instances that the trace leaves open by itself, and why."""
    why: Callable[[int], str] = lambda _: ""
    cpu: Ints | None = None
    failures: int | None = None
    """How many failures to tell of, where it is not the number of instances that fail."""

    @property
    def checked(self) -> int:
        """How many instances there are."""
        return len(self.failed)


@dataclass(frozen=True, eq=False)
class Rule(ABC):
    """A statement about a trace. `rule.on(trace)` asks it; rules are never changed, their methods return new ones."""

    id: str = field(default="", kw_only=True)
    says: str = field(default="", kw_only=True)
    scope: Scope | None = field(default=None, kw_only=True)
    none_allowed: bool = field(default=False, kw_only=True)
    teller: Teller | None = field(default=None, kw_only=True)

    _comma: ClassVar[str] = ","

    @abstractmethod
    def sentence(self) -> str:
        """The statement in words, without its windows."""

    @abstractmethod
    def judge(self, view: View) -> Judgement:
        """Look at each instance."""

    def on(self, trace: Trace) -> Answer:
        """Ask. The answer is true when the statement holds, and explains itself when it does not."""
        return self.answer(view_of(trace))

    def answer(self, view: View) -> Answer:
        """As `on`, of a trace that other rules are asked of, too."""
        return decide(self, view)

    @property
    def statement(self) -> str:
        """What must hold, as a sentence."""
        if self.says:
            return self.says
        text = self.sentence() + (f"{self._comma} {self.scope.text()}" if self.scope else "")
        return f"{text[:1].upper()}{text[1:]}."

    def named(self, id: str, says: str = "") -> Self:
        """With an id, and with a sentence of one's own."""
        return replace(self, id=id, says=says or self.says)

    def allow_none(self) -> Self:
        """It holds, too, where the trace has nothing that it is about; otherwise that is inconclusive."""
        return replace(self, none_allowed=True)

    def telling(self, teller: Teller) -> Self:
        """With words of one's own for failures: from the proof (`proof.rows`, `proof.marked`) a message, or a proof."""
        return replace(self, teller=teller)

    def between(
        self, opener: Pattern | str, closer: Pattern | str, *, per: Per | None = None, match: Per | None = None
    ) -> Self:
        """Only after an opener and before the next closer; a window that is not closed goes on to the end of the trace.

        `per`: windows are of one key each, and hold only events of that key. `match`: opener and closer have this key
        in common, the events between need not have it.
        """
        return self._held(Scope(pattern_of(opener), pattern_of(closer), Key.of(per), Key.of(match)))

    def during(
        self, opener: Pattern | str, closer: Pattern | str, *, per: Per | None = None, match: Per | None = None
    ) -> Self:
        """As `between`, but opener and closer are inside, and a window that is not closed is not looked at."""
        return self._held(Scope(pattern_of(opener), pattern_of(closer), Key.of(per), Key.of(match), ends=True))

    def after(self, opener: Pattern | str) -> Self:
        """Only after the first of these events."""
        return self._held(Scope(pattern_of(opener), None))

    def before(self, closer: Pattern | str) -> Self:
        """Only before the first of these events."""
        return self._held(Scope(None, pattern_of(closer)))

    def from_to(self, start: str | timedelta | Span, stop: str | timedelta | Span | None = None) -> Self:
        """Only from one time since the session started to another: `.from_to("1 s", "5 s")`."""
        return self._held(Scope(None, None, start=Span.of(start), stop=None if stop is None else Span.of(stop)))

    def _held(self, scope: Scope) -> Self:
        if self.scope is not None:
            raise UsageError(f"the rule holds {self.scope.text()} already, and can hold in one kind of window only")
        return replace(self, scope=scope)

    def __and__(self, other: Rule) -> Combined:
        from hotswap.trace.rules.combine import Combined

        return Combined("and", (self, other))

    def __or__(self, other: Rule) -> Combined:
        from hotswap.trace.rules.combine import Combined

        return Combined("or", (self, other))

    def __invert__(self) -> Combined:
        from hotswap.trace.rules.combine import Combined

        return Combined("not", (self,))

    def __bool__(self) -> bool:
        # `assert rule` would hold whatever the trace says.
        raise TypeError("a rule is neither true nor false: ask it, rule.on(trace)")

    def __repr__(self) -> str:
        return f"<rule {self.id}: {self.statement}>" if self.id else f"<rule: {self.statement}>"


def view_of(trace: Trace) -> View:
    """A trace as rules look at it."""
    if isinstance(trace, View):
        return trace
    if isinstance(trace, EtlFile):
        return View(trace.events, Evidence.of(trace))
    if isinstance(trace, EventTable):
        return View(trace, Evidence.whole(trace))
    view = getattr(trace, "__rules_view__", None)
    if view is None:
        raise UsageError(f"{trace!r} is no trace: give an EtlFile, an EventTable, or what open_trace returns")
    found: View = view()
    return found


def decide(rule: Rule, view: View) -> Answer:
    """The verdict: a failure that nothing missing can explain fails the rule; what may be missing leaves it open."""
    found = rule.judge(view)
    evidence = evidence_for(view, found.matched)
    if beyond := not_recorded(view, rule.scope):
        evidence = evidence.plus(beyond)
    touched = evidence.hits(found.low, found.high, found.cpu)
    undecided = np.zeros(found.checked, np.bool_) if found.undecided is None else found.undecided
    failed = found.failed & ~touched & ~undecided
    unknown = touched | undecided
    proof: Proof | None = None
    if failed.any():
        verdict, proof = Verdict.FAIL, _prove(rule, view, found, _first(failed, found.at))
        count = found.failures if found.failures is not None and failed.all() else int(np.count_nonzero(failed))
        message = proof.message + and_more(count)
    elif unknown.any():
        verdict = Verdict.INCONCLUSIVE
        message, proof = _open(rule, view, found, evidence, touched, undecided)
    elif not found.checked and not rule.none_allowed:
        close = [name for one in found.matched for name in view.close_names(one.pattern)]
        meant = f" (is {close[0]} meant?)" if close else ""
        verdict, message = Verdict.INCONCLUSIVE, f"{found.nothing}{meant}, so that nothing could be checked"
    else:
        verdict, message = Verdict.PASS, found.passed() if found.checked else found.nothing
    return Answer(
        rule.id, rule.statement, verdict, message, view.table, proof, found.checked,
        int(np.count_nonzero(failed)), int(np.count_nonzero(unknown)),
    )  # fmt: skip


def _open(
    rule: Rule, view: View, found: Judgement, evidence: Evidence, touched: Mask, undecided: Mask
) -> tuple[str, Proof | None]:
    suspect = touched & found.failed & ~undecided
    if suspect.any():
        instance = _first(suspect, found.at)
        proof = _prove(rule, view, found, instance)
        lost = _lost(view, evidence, found, instance)
        return f"{proof.message}; but with events missing this proves nothing: {lost}", proof
    if undecided.any():
        instance = _first(undecided, found.at)
        return found.why(instance) + and_more(int(np.count_nonzero(undecided))), None
    instance = _first(touched, found.at)
    count = int(np.count_nonzero(touched))
    which = "it depends" if found.checked == 1 else f"{count} of {found.checked} depend"
    return (
        f"nothing seen speaks against it, but {which} on what is missing: {_lost(view, evidence, found, instance)}",
        None,
    )


def _prove(rule: Rule, view: View, found: Judgement, instance: int) -> Proof:
    proof = found.prove(instance)
    if rule.teller is not None:
        told = rule.teller(proof, view)
        proof = told if isinstance(told, Proof) else replace(proof, message=told)
    return _in_lanes(rule, found, proof)


def _in_lanes(rule: Rule, found: Judgement, proof: Proof) -> Proof:
    """For the picture: events that have the rule's key lie on a lane of it, others on that of their thread."""
    key = getattr(rule, "key", None)
    if not isinstance(key, Key) or not key or key.parts == (thread,):
        return proof
    lanes: dict[int, str] = {}
    for row in proof.rows:
        for matched in found.matched:
            at = int(np.searchsorted(matched.rows, row))
            if at < len(matched) and matched.rows[at] == row and matched.has(key.fields):
                lanes.setdefault(row, key.text(matched, at))
    return replace(proof, lanes={**lanes, **proof.lanes})


def _lost(view: View, evidence: Evidence, found: Judgement, instance: int) -> str:
    cpu = None if found.cpu is None else int(found.cpu[instance])
    losses = evidence.within(int(found.low[instance]), int(found.high[instance]), cpu)
    return f"{losses[0].what}{_when(view, losses[0])}" if losses else "events"


def _when(view: View, loss: Loss) -> str:
    """` (between 12.0 and 15.5 us)`."""
    start = None if loss.start == BEGINNING else us_text(view, loss.start)
    end = None if loss.end == END_OF_TIME else us_text(view, loss.end)
    if start is None and end is None:
        return ""
    if start == end:
        return f" (at {start} us)"
    if start is None or end is None:
        return f" (before {end} us)" if start is None else f" (after {start} us)"
    return f" (between {start} and {end} us)"


def evidence_for(view: View, matched: Sequence[Matched]) -> Evidence:
    """The evidence for a statement about these events: one that cannot be decoded is as good as lost, at its time."""
    rows = distinct(np.concatenate([np.zeros(0, np.int64), *(one.unsure for one in matched)]))
    if not len(rows):
        return view.evidence
    ticks = view.table.tick[rows]
    if len(rows) > _MOST_POINTS:
        return view.evidence.plus([Loss(int(ticks[0]), int(ticks[-1]), f"{len(rows)} events could not be decoded")])
    names = [view.table.kinds[int(kind)].name for kind in view.table.kind[rows]]
    cpus = view.table.cpu[rows].tolist()
    return view.evidence.plus(
        Loss(tick, tick, f"a {name} could not be decoded", cpu)
        for tick, name, cpu in zip(ticks.tolist(), names, cpus, strict=True)
    )


def _first(chosen: Mask, at: Ints) -> int:
    instances = np.flatnonzero(chosen)
    return int(instances[np.argmin(at[instances])])


def and_more(count: int) -> str:
    """How a message says that there are further cases; `count` includes the one described."""
    return f" (and {count - 1:,} more)" if count > 1 else ""


def us_text(view: View, tick: int) -> str:
    """A raw tick as microseconds since the session started."""
    table = view.table
    if not len(table):
        return str(tick)
    ns = int(table.ns[0]) + (tick - int(table.tick[0])) * 1_000_000_000 // table.frequency
    return f"{ns / 1000:,.1f}"


def at_text(view: View, row: int) -> str:
    """When an event was: `at 12.5 us`."""
    return f"at {view.us(row):,.1f} us"


def named(pattern: Pattern, view: View, row: int) -> str:
    """What to call an event: by the label of its pattern, else by its own name."""
    return pattern.label or view.table.kinds[int(view.table.kind[row])].name


def never_missing(count: int) -> tuple[Ints, Ints]:
    """`low` and `high` of instances that nothing missing can change."""
    return np.ones(count, np.int64), np.zeros(count, np.int64)
