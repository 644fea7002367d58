"""Expectations of the swap test that are statements about the host driver's events and nothing else, as rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from hotswap.swap.finding import Finding, unknown
from hotswap.swap.swap_trace import PROVIDER_GUID, SwapTrace
from hotswap.swap.swaps import STEPS
from hotswap.trace.expect import Verdict
from hotswap.trace.rules import (
    Proof,
    Rule,
    View,
    agree,
    all_before,
    all_of,
    at_most,
    contiguous,
    count,
    each,
    exactly_once,
    latest,
    ne,
    nested,
    never,
    pairs,
    total,
    unique,
)
from hotswap.trace.rules.condition import FieldCondition
from hotswap.trace.rules.pattern import Pattern, event

_LOAD, _STOP = 1, 2
"""HotswapSignalLoad and HotswapSignalStop: sources of signals."""
ITERATION = ("Worker", "Iteration")
"""Key of an iteration."""


def host(name: str, **fields: FieldCondition) -> Pattern:
    """Events of the host driver."""
    return event(name, provider=PROVIDER_GUID).where(fields)


BEGIN, WORK, END = host("IterationBegin"), host("EndpointWork"), host("IterationEnd")
CREATED = host("WorkerCreate", Status=0)
THREAD_START, THREAD_END = host("WorkerThreadStart"), host("WorkerThreadEnd")
DRAINED, RELEASED = host("SwapDrained", Status=0), host("SwapReleased")
SWITCHED, ROLLED_BACK = host("SwapSwitched"), host("SwapRolledBack")


def also(check: Callable[[SwapTrace], Finding], rule: Rule) -> Callable[[SwapTrace], Finding]:
    """A check, and where it holds, a rule besides; what a rule leaves open is open."""

    def both(trace: SwapTrace) -> Finding:
        found = check(trace)
        return by_rule(rule)(trace) if found.verdict is Verdict.PASS and not rule.answer(trace.view) else found

    return both


def by_rule(
    make: Rule | Callable[[SwapTrace], Rule], *, about: Pattern | None = None
) -> Callable[[SwapTrace], Finding]:
    """A check that asks a rule, or one that is made for the run. Without an event `about` there is nothing to ask."""

    def check(trace: SwapTrace) -> Finding:
        if about is not None and not len(trace.view.match(about)):
            return unknown(f"no {about} in the trace")
        rule = make if isinstance(make, Rule) else make(trace)
        answer = rule.answer(trace.view)
        return Finding(answer.verdict, answer.message, answer.rows)

    return check


def _value(view: View, row: int, name: str) -> object:
    fields = view.table.row(row)["fields"]
    return fields[name] if isinstance(fields, dict) else None


def _inside_a_drain(proof: Proof, view: View) -> str:
    begin, (drained,) = proof.rows[0], proof.marked
    name = f"iteration {_value(view, begin, 'Iteration')} of worker {_value(view, begin, 'Worker')}"
    return f"{name} was still inside when swap {_value(view, drained, 'Swap')} had drained"


def _overlap(proof: Proof, view: View) -> str:
    first, (second,) = proof.rows[0], proof.marked
    numbers = f"{_value(view, first, 'Iteration')} and {_value(view, second, 'Iteration')}"
    return f"iterations {numbers} of worker {_value(view, first, 'Worker')} overlap"


NO_ITERATION_CUT_SHORT = (
    never(DRAINED).during(BEGIN, END, match=ITERATION).telling(_inside_a_drain)
    & pairs(BEGIN, END, per=ITERATION)
    & never(BEGIN).between(BEGIN, END, per="Worker").telling(_overlap)
    & contiguous(BEGIN["Iteration"], per="Worker", start=1)
    & each(END).agrees_with(BEGIN, "Version", "WaitStatus", per=ITERATION)
)
# Without an endpoint driver (version 0) the host's own endpoint runs, which logs no work.
WORK_ONCE_PER_ITERATION = (
    each(WORK).preceded_by(BEGIN, per=ITERATION).allow_none()
    & exactly_once(WORK, per=ITERATION, for_each=host("IterationBegin", Version=ne(0))).allow_none()
    & all_before(WORK, END, per=ITERATION).allow_none()
)
WORK_NAMES_VERSION = each(WORK).agrees_with(BEGIN, "Version", per=ITERATION)
WORK_NAMES_WAIT_STATUS = each(WORK).agrees_with(BEGIN, "WaitStatus", per=ITERATION)
WORKER_THREADS_SURVIVE = (
    each(BEGIN | WORK | END).agrees_with(CREATED, per="Worker", tid="WorkerThreadId")
    & each(THREAD_START | THREAD_END).agrees_with(CREATED, "WorkerThreadId", per="Worker", tid="WorkerThreadId")
    & exactly_once(THREAD_START, per="Worker", for_each=CREATED)
    & exactly_once(THREAD_END, per="Worker", for_each=CREATED)
    & all_before(THREAD_START, BEGIN, per="Worker")
    & all_before(BEGIN | END, THREAD_END, per="Worker")
)


def _ended_by_itself(proof: Proof, view: View) -> Proof:
    """With the last iteration of the worker, which is what ended it."""
    (ended,) = proof.marked
    worker = _value(view, ended, "Worker")
    text = f"the thread of worker {worker} ended though nobody had asked it to stop"
    assert isinstance(worker, int)
    mine = host("IterationBegin", Worker=worker) | host("IterationEnd", Worker=worker)
    rows = [int(row) for row in view.match(mine).rows if row < ended][-2:]
    if rows:
        last = f"iteration {_value(view, rows[0], 'Iteration')} (version {_value(view, rows[0], 'Version')})"
        text += f": {last} was its last"
    return Proof(text, (*rows, ended), (ended,))


WORKERS_RUN_UNTIL_STOPPED = (
    each(THREAD_END).preceded_by(host("SignalBegin", Source=_STOP), per="Worker").telling(_ended_by_itself)
)


def _runs_while_held(proof: Proof, view: View) -> str:
    drained, (row,) = proof.rows[0], proof.marked
    name = view.table.kinds[int(view.table.kind[row])].name
    worker, swap = _value(view, row, "Worker"), _value(view, drained, "Swap")
    return f"{name} of worker {worker} between drain and release of swap {swap}"


NOTHING_RUNS_WHILE_HELD = never(BEGIN | WORK).during(DRAINED, RELEASED, match="Swap").telling(_runs_while_held)


def _wrong_version(proof: Proof, view: View) -> str:
    (row,) = proof.marked
    name = view.table.kinds[int(view.table.kind[row])].name
    version, worker = _value(view, row, "Version"), _value(view, row, "Worker")
    before = [other for other in proof.rows if other != row]
    force = "another version"
    if before:
        back = view.table.kinds[int(view.table.kind[before[0]])].name == "SwapRolledBack"
        force = f"version {_value(view, before[0], 'FromVersion' if back else 'ToVersion')}"
    return f"{name} of worker {worker} in version {version} while {force} was in force"


def no_old_version_after_switch(trace: SwapTrace) -> Rule:
    """Whatever runs, runs in the version in force: none of the old after the switch, none of the new before it."""
    return runs_in_force(int(trace.force[1][0]))


def runs_in_force(first: int | None = None) -> Rule:
    """Whatever runs, runs in the version in force; before the first switch in `first`, or in any where that is None."""
    in_force = latest(SWITCHED["ToVersion"], ROLLED_BACK["FromVersion"], default=first)
    return each(BEGIN | WORK).satisfies(Version=in_force).telling(_wrong_version).allow_none()


_BETWEEN = reduce(or_, (host(f"Swap{step}") for step in STEPS if step not in ("Begin", "End")))
SWAPS_NAME_THEIR_VERSIONS = (
    each(_BETWEEN).agrees_with(host("SwapBegin"), "FromVersion", "ToVersion", per="Swap")
    & each(host("SwapEnd", Status=0))
    .agrees_with(host("SwapBegin"), "FromVersion", "ToVersion", per="Swap")
    .allow_none()
)
"""All events of a swap name the same versions; at its end, one that was refused names the old one."""
_LOADED, _UNLOADED = host("EndpointLoaded", Version=ne(0), Status=0), host("EndpointUnloaded", Version=ne(0), Status=0)
ENDPOINTS_COME_AND_GO = (
    nested((host("EndpointLoaded", Version=ne(0)), _UNLOADED), per="Version")
    & exactly_once(_LOADED).during(host("SwapEnd"), host("SwapBegin", ToVersion=ne(0))).allow_none()
)
"""Each endpoint driver is loaded before its swap begins, and unloaded in the end; version 0 did not come to be one."""


def _other_states(proof: Proof, view: View) -> str:
    return f"worker {_value(view, proof.rows[0], 'Worker')}: the reply to its stop names other final states"


def counters_agree(trace: SwapTrace) -> Rule:
    """The host's counters agree with the events in the trace, and with what was read of them."""
    seen = trace.witnesses
    signalled = host("SignalEnd")
    counted = {"Iterations": BEGIN, "Signals": signalled}
    parts: list[Rule] = [agree(host("HostStop")[name], count(events)) for name, events in counted.items()]
    parts += [
        agree(count(events), seen.final_counters[name]).telling(
            lambda proof, _, name=name: f"by the counters read at the end {name}: {proof.message}"  # type: ignore[misc]
        )
        for name, events in counted.items()
        if seen.final_counters is not None and name in seen.final_counters
    ]
    parts.append(agree(host("WorkerStop")["Iterations"], count(BEGIN), per="Worker").allow_none())
    stopped = set(trace.events["WorkerStop"]["Worker"].tolist())
    if told := {worker: mask for worker, mask in (seen.final_states or {}).items() if worker in stopped}:
        parts.append(agree(host("WorkerStop")["FinalStateMask"], told, per="Worker").telling(_other_states))
    parts.append(at_most(1, host("WorkerStop", Status=0), per="Worker").allow_none())
    started, ended = host("LoadStart"), host("LoadStop")
    parts.append(unique(started["Load"]).allow_none())
    parts.append(each(started).followed_by(ended, per="Load").allow_none())
    parts.append(each(ended).preceded_by(started, per="Load").allow_none())
    accepted = host("SignalEnd", Source=_LOAD, PreviousState=0)
    parts.append(agree(total(ended["Signals"]), count(host("SignalEnd", Source=_LOAD))))
    parts.append(agree(total(ended["Accepted"]), count(accepted)))
    return all_of(*parts)
