"""Plans: the same seed gives the same test, and what a plan asks for can be done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotswap.swap.plan import MAX_LOAD_TARGETS, SwapPlan
from hotswap.swap.witnesses import WAIT_ALL

plans = st.builds(SwapPlan, workers=st.integers(1, 64), seed=st.integers(0, 2**63 - 1))


@given(plans)
def test_the_same_plan_has_the_same_workers_and_targets(plan: SwapPlan) -> None:
    again = SwapPlan(workers=plan.workers, seed=plan.seed)
    assert plan.worker_definitions() == again.worker_definitions()
    assert plan.load_targets() == again.load_targets()


@given(plans)
def test_every_worker_is_signalled_and_every_wait_all_set_is_signalled_whole(plan: SwapPlan) -> None:
    workers = {worker.worker: worker for worker in plan.worker_definitions()}
    targets = plan.load_targets()
    assert len(targets) == len(set(targets)) <= MAX_LOAD_TARGETS
    assert {worker for worker, _ in targets} == set(workers)
    for worker in workers.values():
        events = {event for number, event in targets if number == worker.worker}
        assert events <= set(range(worker.event_count))
        if worker.wait_type == WAIT_ALL:
            assert events == set(range(worker.event_count))


def test_eight_workers_are_of_mixed_kinds() -> None:
    workers = SwapPlan().worker_definitions()
    assert len({(w.wait_type, w.event_count, w.has_timeout, w.altertable, w.wait_mode) for w in workers}) == 8
    assert {w.event_count for w in workers} >= {1, 3, 4, 64}
    assert {w.wait_type for w in workers} == {0, 1}


def test_another_seed_draws_other_time_outs() -> None:
    timeouts = {tuple(w.timeout for w in SwapPlan(seed=seed).worker_definitions()) for seed in range(10)}
    assert len(timeouts) > 5
