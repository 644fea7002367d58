"""Updates as fast as they go, with every worker busy: what holds for one swap holds for twenty in a row."""

from __future__ import annotations

import pytest

from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap
from hotswap.trace.expect import Verdict

pytestmark = pytest.mark.usefixtures("runs")

UPDATES = 20


def test_swaps_back_and_forth_in_quick_succession_lose_and_double_nothing() -> None:
    plan = SwapPlan(
        # v3 takes 50 ms while calls are held, so that some are, however busy the machine is with other things.
        updates=("v1", "v2", "v1", "v3") * (UPDATES // 4),
        workers=16,
        seconds=0.05,
        # Iterations take both processors of a small machine, so that most swaps find calls to wait for and to hold.
        rate=1500,
        work_us=1000,
        load_threads=1,
        ring_slots=1 << 20,
    )
    result = run_swap(plan)
    assert result.verdict is Verdict.PASS, [
        f"{item.id}: {item.message}" for item in result.expectations if item.verdict is not Verdict.PASS
    ]
    assert len(result.updates) == UPDATES
    assert sum(update.held_calls for update in result.updates) > 0, "a stress that holds no call shows nothing"
    assert result.iterations > 16 * UPDATES
