"""Asking rules of a trace while it is written: a failure that nothing to come can mend is told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from hotswap.trace.expect import Verdict
from hotswap.trace.follow.follower import Follower
from hotswap.trace.follow.prefix import Prefix
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.order import END_OF_TIME

SHARE = 0.1
Ask = Callable[[View], Sequence[Answer]]


def watch(follower: Follower, ask: Ask, *, share: float = SHARE) -> list[Answer]:
    """Follow a trace to its end, or to the first failure, and return the failures; none: there was none.

    At most this share of the time is spent with asking: the longer the trace, the rarer it is asked.
    What holds so far, and what cannot be told yet, is no answer: whoever wants one asks the file when it is complete.
    """
    prefix, due = Prefix(), monotonic()
    for table in follower:
        prefix.add(table)
        if monotonic() < due:
            continue
        begun = monotonic()
        if failures := ask_prefix(follower, prefix, ask):
            return failures
        due = monotonic() + (monotonic() - begun) / share
    return ask_prefix(follower, prefix, ask)


def ask_prefix(follower: Follower, prefix: Prefix, ask: Ask) -> list[Answer]:
    """The failures that the beginning of a trace proves. What is to come counts as missing, and so proves nothing."""
    table = prefix.table
    if table is None:
        return []
    view = View(table, _evidence(follower))
    return [answer for answer in ask(view) if answer.verdict is Verdict.FAIL]


def _evidence(follower: Follower) -> Evidence:
    losses = [] if follower.closed else [Loss(follower.certain, END_OF_TIME, "the trace is still being written")]
    if follower.loss.any:
        losses.append(Loss.anywhere(follower.loss.describe()))
    if follower.late:
        losses.append(Loss.anywhere(f"{follower.late} events came too late to be in order"))
    losses += [Loss.anywhere(problem.message) for problem in follower.problems[:1]]
    first = follower.header.first_tick if follower.header else 0
    return Evidence(tuple(losses), first, follower.certain)
