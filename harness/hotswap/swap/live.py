"""Which expectations of the swap test can be told while the test runs: rules whose failure nothing to come can mend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from hotswap.swap import swap_rules
from hotswap.trace.rules import View, each, ne
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.rule import Rule

LIVE: Mapping[str, Rule] = {
    "workers-run-until-stopped": swap_rules.WORKERS_RUN_UNTIL_STOPPED,
    "worker-threads-survive": swap_rules.WORKER_THREADS_SURVIVE,
    "no-iteration-cut-short": swap_rules.NO_ITERATION_CUT_SHORT,
    # That there is no work can be told at the end of its iteration.
    "work-once-per-iteration": swap_rules.WORK_ONCE_PER_ITERATION
    & each(swap_rules.host("IterationEnd", Version=ne(0)))
    .preceded_by(swap_rules.WORK, per=swap_rules.ITERATION)
    .allow_none(),
    "work-names-wait-status": swap_rules.WORK_NAMES_WAIT_STATUS,
    "work-names-version": swap_rules.WORK_NAMES_VERSION,
    "nothing-runs-while-held": swap_rules.NOTHING_RUNS_WHILE_HELD,
    "no-old-version-after-switch": swap_rules.runs_in_force(),
}
"""By expectation. The others need what is read from the driver at the end, or look at the trace as a whole."""


def live_question(disabled: Collection[str] = (), *, restart: bool = False) -> Callable[[View], list[Answer]]:
    """What to ask of the beginning of a run. `restart`: updates are made by restart (see Expectation.hot_swap_only)."""
    from hotswap.swap.expectations import SWAP_EXPECTATIONS

    asked = [
        LIVE[expectation.id].named(expectation.id)
        for expectation in SWAP_EXPECTATIONS
        if expectation.id in LIVE and expectation.id not in disabled and not (restart and expectation.hot_swap_only)
    ]
    return lambda view: [rule.answer(view) for rule in asked]
