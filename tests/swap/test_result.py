"""The parts of a swap are told as the driver stamped them."""

from __future__ import annotations

from hotswap.swap.result import phase_ticks
from hotswap.swap.witnesses import UpdateReply

TICKS = {"begin": 100, "loaded": 150, "stalled": 200, "first_held": 210, "drained": 230, "released": 250, "end": 400}


def test_a_part_is_the_time_between_its_ends_and_none_where_one_was_not_reached() -> None:
    parts = phase_ticks(UpdateReply(0, 1, 2, ticks=TICKS))
    assert (parts["load"], parts["drain"], parts["hold"], parts["total"]) == (50, 30, 40, 300)
    assert (parts["switch"], parts["unload"]) == (None, None)


def test_a_call_held_in_the_moment_of_the_release_was_held_for_no_time() -> None:
    assert phase_ticks(UpdateReply(0, 1, 2, ticks={**TICKS, "first_held": 260}))["hold"] == 0


def test_ticks_that_run_backwards_are_not_hidden() -> None:
    assert phase_ticks(UpdateReply(0, 1, 2, ticks={**TICKS, "drained": 190}))["drain"] == -10
