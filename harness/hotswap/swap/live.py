"""Expectations that are asked while the swap test runs: rules whose failure nothing to come can mend.

They end a long test at its first failure. Its verdict is that of the complete trace, as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Event, Thread

from hotswap.deadline import Deadline
from hotswap.errors import HotswapError
from hotswap.swap import swap_rules
from hotswap.trace.follow import Follower, Together, TraceSource
from hotswap.trace.rules import View, each, ne
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.live import watch
from hotswap.trace.rules.rule import Rule

LIVE: dict[str, Rule] = {
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


class LiveCheck:
    """Asks on a thread of its own, from `start` to `stop`."""

    def __init__(self, source: TraceSource, ask: Callable[[View], list[Answer]], deadline: Deadline) -> None:
        self.failure: Answer | None = None
        """The first one."""
        self.trouble = ""
        """Why it could not go on."""
        self.events = 0
        """Those that had been looked at when it ended."""
        self._source = source
        self._ask = ask
        self._deadline = deadline
        self._failed, self._stopped = Event(), Event()
        self._thread = Thread(target=self._run, name="live check", daemon=True)

    def start(self) -> None:
        """Begin to follow the trace."""
        self._thread.start()

    def failed_within(self, seconds: float) -> bool:
        """Wait for the first failure, this long at most; whether there is one."""
        return self._failed.wait(seconds)

    def stop(self) -> None:
        """End it. What has been written until now is asked about no more. Harmless when repeated."""
        self._stopped.set()
        self._thread.join()
        self._source.close()

    def _run(self) -> None:
        # The agent takes events from the driver's ring, which is in time order, and writes all its buffers together.
        follower = Follower(self._source, self._deadline, alive=self._gone, watermark=Together())
        try:
            failures = watch(follower, self._ask)
            self.failure = failures[0] if failures else None
        except HotswapError as error:
            self.trouble = str(error)
        except Exception as error:
            # A defect of ours must not end the test: its verdict does not rest on this.
            self.trouble = f"{type(error).__name__}: {error}"
        self.events = follower.events
        if self.failure is not None:
            self._failed.set()

    def _gone(self) -> str | None:
        return "the test has ended" if self._stopped.is_set() else None
