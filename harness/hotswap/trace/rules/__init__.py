"""Statements about traces, and what they answer: pass, fail with the fewest events that show it, or inconclusive.

    from hotswap.trace.rules import each, event, latency, never, sequence

    way_of_a_worker = sequence("IterationBegin", "EndpointWork", "IterationEnd", per="Worker")
    released_in_time = each("SwapStalled").followed_by("SwapReleased", per="Swap", within="50 ms")
    nothing_while_held = never("IterationBegin").between("SwapDrained", "SwapReleased", match="Swap")
    hold_time = latency("SwapStalled", "SwapReleased", per="Swap").percentile(99).at_most("20 ms")

A file of such names is what `hotswap trace check` takes; in a test it is `assert way_of_a_worker.on(trace)`.
"""

from __future__ import annotations

from hotswap.trace.rules.absence import never
from hotswap.trace.rules.answer import Answer, Inconclusive, Proof
from hotswap.trace.rules.combine import all_of
from hotswap.trace.rules.condition import bits, ge, gt, le, lt, matches, ne, none_of, one_of, that
from hotswap.trace.rules.counters import agree, count, total, value
from hotswap.trace.rules.counting import at_least, at_most, exactly, exactly_once
from hotswap.trace.rules.custom import statement
from hotswap.trace.rules.each import each, events
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.key import activity, cpu, process, thread
from hotswap.trace.rules.latency import latency
from hotswap.trace.rules.load import load_rules
from hotswap.trace.rules.machine import machine, maybe, sequence
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.ordering import all_before, in_order
from hotswap.trace.rules.pairs import nested, pairs
from hotswap.trace.rules.pattern import Pattern, event, latest
from hotswap.trace.rules.rule import Rule
from hotswap.trace.rules.series import constant, contiguous, increasing, unique
from hotswap.trace.rules.trace_file import TraceFile, open_trace

__all__ = [
    "Answer",
    "Evidence",
    "Inconclusive",
    "Loss",
    "Pattern",
    "Proof",
    "Rule",
    "TraceFile",
    "View",
    "activity",
    "agree",
    "all_before",
    "all_of",
    "at_least",
    "at_most",
    "bits",
    "constant",
    "contiguous",
    "count",
    "cpu",
    "each",
    "event",
    "events",
    "exactly",
    "exactly_once",
    "ge",
    "gt",
    "in_order",
    "increasing",
    "latency",
    "latest",
    "le",
    "load_rules",
    "lt",
    "machine",
    "matches",
    "maybe",
    "ne",
    "nested",
    "never",
    "none_of",
    "one_of",
    "open_trace",
    "pairs",
    "process",
    "sequence",
    "statement",
    "that",
    "thread",
    "total",
    "unique",
    "value",
]
