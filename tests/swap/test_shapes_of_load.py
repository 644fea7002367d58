"""Swap tests of every shape: kinds of wait, when signals and updates come, and which versions follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotswap.swap.plan import SwapPlan
from hotswap.swap.result import SwapResult
from hotswap.swap.runner import run_swap
from hotswap.trace.etl import read_etl
from hotswap.trace.expect import Verdict
from hotswap.trace.table import Events

pytestmark = pytest.mark.usefixtures("runs", "nothing_left")

TIMEOUT = 0x102
LOAD = 1
STOP = 2


def passes(**plan: Any) -> SwapResult:
    """A short test on v1, v3 (which holds calls for 50 ms) and v1 again, unless said otherwise."""
    plan = {"updates": ("v1", "v3", "v1"), "seconds": 0.3, "rate": 4000, **plan}
    result = run_swap(SwapPlan(**plan))
    assert result.verdict is Verdict.PASS, [
        f"{item.id}: {item.message}" for item in result.expectations if item.verdict is not Verdict.PASS
    ]
    return result


class Seen:
    """The events of a run by name; `begin` and the like are the ticks of a swap's steps."""

    def __init__(self, result: SwapResult) -> None:
        self.table = read_etl(result.run_folder / "trace.etl").events

    def __getitem__(self, name: str) -> Events:
        return self.table.events(name)

    def step(self, name: str, swap: int) -> int:
        events = self[f"Swap{name}"]
        return int(events.tick[events["Swap"] == swap][0])


@pytest.mark.parametrize("workers", [1, 2, 17, 64])
def test_any_number_of_workers_is_swapped(workers: int) -> None:
    result = passes(workers=workers, seed=workers)
    assert len(np.unique(Seen(result)["WorkerCreate"]["Worker"])) == workers


def test_sets_of_events_are_waited_for_as_a_whole() -> None:
    seen = Seen(passes(waits="all"))
    assert set(seen["WorkerCreate"]["WaitType"].tolist()) == {0}
    assert set(seen["IterationBegin"]["WaitStatus"].tolist()) == {0}


def test_time_outs_that_expire_while_calls_are_held_run_in_the_new_version() -> None:
    seen = Seen(passes(waits="timeout", rate=500))
    stalled, released = seen.step("Stalled", 2), seen.step("Released", 2)
    assert (released - stalled) / seen.table.frequency > 0.04, "the longest time-out is 20 ms"
    begins = seen["IterationBegin"]
    after = np.flatnonzero(begins.tick >= released)
    firsts = after[np.unique(begins["Worker"][after], return_index=True)[1]]  # of each worker, the one that was held
    expired = firsts[begins["WaitStatus"][firsts] == TIMEOUT]
    assert len(expired)
    assert set(begins["Version"][expired].tolist()) == {3}


def test_absolute_time_outs_expire_at_their_time() -> None:
    seen = Seen(passes(waits="absolute"))
    workers, begins = seen["WorkerCreate"], seen["IterationBegin"]
    absolute = workers["Worker"][workers["Timeout"] > 0]
    assert len(absolute) == 2
    assert (begins["WaitStatus"][np.isin(begins["Worker"], absolute)] == TIMEOUT).any()


def test_events_signalled_only_while_calls_are_held_all_reach_the_new_version() -> None:
    seen = Seen(passes(load="stalled", waits="any"))
    signals, begins = seen["SignalBegin"], seen["IterationBegin"]
    loads = signals.tick[signals["Source"] == LOAD]
    inside = np.zeros(len(loads), np.bool_)
    for swap in (2, 3):
        inside |= (loads > seen.step("Drained", swap)) & (loads < seen.step("Switched", swap))
    assert len(loads) > 8
    assert inside.all()
    released = seen.step("Released", 2)
    fresh = (begins.tick >= released) & (begins.tick < seen.step("Begin", 3))
    assert set(begins["Worker"][fresh].tolist()) == set(range(1, 9))
    assert set(begins["Version"][fresh].tolist()) == {3}


def test_workers_are_created_while_a_swap_is_under_way() -> None:
    seen = Seen(passes(update_at="start"))
    created = seen["WorkerCreate"].tick
    begin, end = seen.step("Begin", 2), seen.step("End", 2)
    assert ((created > begin) & (created < end)).any()


def test_workers_are_stopped_while_a_swap_is_under_way() -> None:
    seen = Seen(passes(update_at="stop", updates=("v1", "v2", "v3")))
    signals = seen["SignalBegin"]
    stops = signals.tick[signals["Source"] == STOP]
    begin, end = seen.step("Begin", 3), seen.step("End", 3)
    assert ((stops > begin) & (stops < end)).any()


def test_updates_asked_for_at_once_are_taken_one_after_the_other() -> None:
    result = passes(update_at="together", updates=("v1", "v3", "v2"))
    seen = Seen(result)
    assert seen.step("Begin", 3) > seen.step("End", 2)
    between = (seen.step("Begin", 3) - seen.step("End", 2)) / seen.table.frequency
    assert between < 0.25, "the second was waiting already"
    assert [(reply.from_version, reply.to_version) for reply in result.updates] == [(0, 1), (1, 3), (3, 2)]


@pytest.mark.parametrize(
    "versions", [("v2", "v1", "v2"), ("v1", "v1", "v1"), ("v1", "v2", "v3", "v2", "v1"), ("v3", "v2")]
)
def test_versions_may_follow_each_other_in_any_order(versions: tuple[str, ...]) -> None:
    result = passes(updates=versions)
    assert [reply.to_version for reply in result.updates] == [int(version[1:]) for version in versions]
