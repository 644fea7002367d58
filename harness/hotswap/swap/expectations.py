"""The expectations of the swap test: what must hold, and what they answer for one run.

They stand in the order of a topological sort: what others rest on comes first, the more specific before the more
general, so that the first failure is the best reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from hotswap.swap import (
    check_evidence,
    check_outside,
    check_signals,
    check_swap,
    check_verified,
    swap_rules,
)
from hotswap.swap.finding import Finding
from hotswap.swap.swap_rules import also, by_rule
from hotswap.swap.swap_trace import SwapTrace
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import ExpectationResult, Verdict

Subject = Literal["update", "swap", "worker", "iteration", "signal", "load"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One statement about a swap run. `clauses` are those of reference/driver-hot-swap.md.

    `from_trace`: its failures are drawn from events that are there or not, so without complete evidence they prove
    nothing and become inconclusive; a rule knows by itself what its failure depends on. `hot_swap_only`: not asked of a
    restart update (runtime plain), which ends its threads and unloads the old image before there is a new one. `about`:
    what must have happened for there to be something to ask about; a test of its own shape, which did nothing of it,
    does not leave it open.
    """

    id: str
    statement: str
    clauses: tuple[str, ...]
    check: Callable[[SwapTrace], Finding]
    from_trace: bool = True
    hot_swap_only: bool = False
    about: Subject | None = None


SWAP_EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation(
        "driver-host-alive",
        "The process that runs the driver lives until it is asked to stop.",
        (),
        check_evidence.driver_host_alive,
        from_trace=False,
    ),
    Expectation(
        "evidence-complete",
        "No event was dropped or lost, the trace runs from the driver's start to its stop, and its clock is fit.",
        (),
        check_evidence.evidence_complete,
        from_trace=False,
    ),
    Expectation(
        "drained-in-time",
        "In every stall the last call leaves within the drain limit.",
        ("W54", "R12"),
        check_swap.drained_in_time,
        hot_swap_only=True,
        about="swap",
    ),
    Expectation(
        "updates-succeed-or-roll-back",
        "Every update succeeds and unloads the old image, or is refused and leaves the old version in force.",
        ("R8", "R9", "R10", "R12", "R17", "R23", "R24", "R25"),
        check_swap.updates_succeed_or_roll_back,
        from_trace=False,
        about="update",
    ),
    Expectation(
        "operations-succeed",
        "Every operation on the driver is answered.",
        (),
        check_evidence.operations_succeed,
        from_trace=False,
    ),
    Expectation(
        "workers-as-asked",
        "Each worker is created once, with the start context that was asked for.",
        ("W6", "W11", "W21"),
        check_evidence.workers_as_asked,
        about="worker",
    ),
    Expectation(
        "swap-phases-in-order",
        "Each swap goes once through the phases that its outcome demands, in order.",
        ("R10", "R17", "R18", "R19", "R21", "R22", "R23", "R24", "R25"),
        also(check_swap.swap_phases_in_order, swap_rules.SWAPS_NAME_THEIR_VERSIONS),
        hot_swap_only=True,
        about="update",
    ),
    Expectation(
        "hold-time-in-budget",
        "No swap holds calls for longer than the budget.",
        ("R20",),
        check_swap.hold_time_in_budget,
        hot_swap_only=True,
        about="swap",
    ),
    Expectation(
        "workers-run-until-stopped",
        "A worker's thread ends only after the worker was asked to stop.",
        ("W18", "W56", "W60"),
        by_rule(swap_rules.WORKERS_RUN_UNTIL_STOPPED),
        from_trace=False,
        hot_swap_only=True,
        about="worker",
    ),
    Expectation(
        "worker-threads-survive",
        "Each worker keeps its thread over all swaps.",
        ("W56", "W11"),
        by_rule(swap_rules.WORKER_THREADS_SURVIVE),
        from_trace=False,
        hot_swap_only=True,
        about="iteration",
    ),
    Expectation(
        "no-iteration-cut-short",
        "Each iteration begins and ends once, in sequence, and none spans the drain of a swap.",
        ("W16", "W18", "W19", "W54", "R28"),
        by_rule(swap_rules.NO_ITERATION_CUT_SHORT),
        from_trace=False,
        about="iteration",
    ),
    Expectation(
        "work-once-per-iteration",
        "The endpoint driver works exactly once in each iteration.",
        ("W16", "W55"),
        by_rule(swap_rules.WORK_ONCE_PER_ITERATION, about=swap_rules.BEGIN),
        from_trace=False,
        about="iteration",
    ),
    Expectation(
        "work-names-wait-status",
        "The endpoint driver reports the wait status that the host was given.",
        ("W17", "R33"),
        by_rule(swap_rules.WORK_NAMES_WAIT_STATUS),
        from_trace=False,
        about="iteration",
    ),
    Expectation(
        "work-names-version",
        "The endpoint driver reports the version that the host called.",
        ("W53", "W55", "R8"),
        by_rule(swap_rules.WORK_NAMES_VERSION),
        from_trace=False,
        about="iteration",
    ),
    Expectation(
        "nothing-runs-while-held",
        "Between drain and release of a swap nothing of the endpoint driver runs.",
        ("R19", "R20", "W55"),
        by_rule(swap_rules.NOTHING_RUNS_WHILE_HELD),
        from_trace=False,
        hot_swap_only=True,
        about="swap",
    ),
    Expectation(
        "no-old-version-after-switch",
        "Nothing of the old version begins after the switch, nothing of the new one before it.",
        ("W53", "R8", "R18", "R20", "R21", "R24"),
        by_rule(swap_rules.no_old_version_after_switch, about=swap_rules.SWITCHED),
        from_trace=False,
        hot_swap_only=True,
        about="swap",
    ),
    Expectation(
        "wait-status-names-signalled-event",
        "Each wait status is possible for its worker and names an event that was signalled.",
        ("W15", "W17", "W24", "W25", "W26", "W27", "W36", "W42", "W44", "W45"),
        check_signals.wait_status_names_signalled_event,
        about="iteration",
    ),
    Expectation(
        "time-outs-not-early",
        "No wait times out before its time.",
        ("W36", "W37", "W39", "W43"),
        check_signals.time_outs_not_early,
        about="iteration",
    ),
    Expectation(
        "wait-all-needs-all",
        "A WaitAll worker runs only when all of its events were signalled.",
        ("W31", "W32"),
        check_signals.wait_all_needs_all,
        about="iteration",
    ),
    Expectation(
        "signals-accounted",
        "For each auto-reset event, accepted signals equal the iterations that name it plus its final state.",
        ("W26", "W29", "W30", "W32", "W55"),
        check_signals.signals_accounted,
        about="signal",
    ),
    Expectation(
        "progress-after-swap",
        "Every version in force was exercised by every worker that was signalled.",
        ("W53", "W55", "R21"),
        check_swap.progress_after_swap,
        hot_swap_only=True,
        about="load",
    ),
    Expectation(
        "counters-agree",
        "The host's counters agree with the trace.",
        (),
        by_rule(swap_rules.counters_agree),
        from_trace=False,
    ),
    Expectation(
        "counters-zero-at-unload",
        "At the end the host holds nothing.",
        ("W61", "R28"),
        check_outside.counters_zero_at_unload,
        from_trace=False,
        about="worker",
    ),
    Expectation(
        "endpoint-unloaded",
        "The host unloads the endpoint driver that a swap took out of force, and one that was refused.",
        ("R8", "R10"),
        also(check_outside.endpoint_unloaded, swap_rules.ENDPOINTS_COME_AND_GO),
        hot_swap_only=True,
        about="swap",
    ),
    Expectation(
        "endpoint-frees-pool",
        "An endpoint driver frees the pool that it allocates.",
        (),
        check_verified.endpoint_frees_pool,
        from_trace=False,
        about="update",
    ),
    Expectation(
        "endpoint-ends-threads",
        "Threads that an endpoint driver makes end before its image leaves.",
        (),
        check_verified.endpoint_ends_threads,
        from_trace=False,
        about="update",
    ),
    Expectation(
        "endpoint-closes-handles",
        "An endpoint driver closes the handles that it opens, those of events above all.",
        (),
        check_verified.endpoint_closes_handles,
        from_trace=False,
        about="update",
    ),
    Expectation(
        "endpoint-drops-references",
        "An endpoint driver drops the object references that it takes.",
        (),
        check_verified.endpoint_drops_references,
        from_trace=False,
        about="update",
    ),
    Expectation(
        "old-image-gone",
        "Each old image is gone after its swap, and all are after the stop.",
        ("R4", "W61"),
        check_outside.old_image_gone,
        from_trace=False,
    ),
    Expectation(
        "services-stopped",
        "The service of each old image is stopped after its swap, and all are after the stop.",
        ("R4",),
        check_outside.services_stopped,
        from_trace=False,
    ),
    Expectation(
        "device-gone",
        "The device and the link of the driver are there until the stop, and not after it.",
        (),
        check_outside.device_gone,
        from_trace=False,
    ),
    Expectation(
        "threads-gone",
        "After the stop no thread of the workers is left.",
        ("W61",),
        check_outside.threads_gone,
        from_trace=False,
        about="worker",
    ),
)


def evaluate(
    etl: EtlFile, witnesses: SwapWitnesses, *, restart: bool = False, disabled: Collection[str] = ()
) -> tuple[ExpectationResult, ...]:
    """Ask the expectations, in order. A trace-based failure counts only when the evidence is complete.

    `restart`: the updates were made by restart, not by hot-swap. `disabled`: ids that are not asked.
    """
    return judge(SwapTrace(etl, witnesses, restart=restart), disabled)


def judge(trace: SwapTrace, disabled: Collection[str] = ()) -> tuple[ExpectationResult, ...]:
    """As `evaluate`, of a trace that is joined with its witnesses already."""
    complete = check_evidence.evidence_complete(trace).verdict == Verdict.PASS
    return tuple(
        _ask(expectation, trace, complete)
        for expectation in SWAP_EXPECTATIONS
        if expectation.id not in disabled and not (trace.restart and expectation.hot_swap_only)
    )


def _ask(expectation: Expectation, trace: SwapTrace, complete: bool) -> ExpectationResult:
    found = expectation.check(trace)
    if found.verdict == Verdict.FAIL and expectation.from_trace and not complete:
        text = f"with events missing this proves nothing: {found.message}"
        return ExpectationResult(expectation.id, Verdict.INCONCLUSIVE, text, found.rows)
    return ExpectationResult(expectation.id, found.verdict, found.message, found.rows)
