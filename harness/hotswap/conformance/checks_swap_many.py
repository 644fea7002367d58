"""Checks of several registrations at once, and of many threads against many swaps (R32, R20)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Callback, Condition, Phase
from hotswap.conformance.replies import Registered
from hotswap.conformance.requests import Behave
from hotswap.conformance.swap_calls import begin_repeated, end_repeated, run_beside, succeeded
from hotswap.conformance.swap_rig import (
    COMPAT,
    PHASES,
    UNSUCCESSFUL,
    Extension,
    expect_phases,
    expect_status,
    expect_under_way,
    in_phase,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_LANES = 16


def expect_one_after_the_other(replies: list[Registered]) -> list[Registered]:
    """In the order of their phases; CheckFailed unless each has all of them, and none begins before the last ended."""
    for reply in replies:
        expect_phases(reply, (0, 1, 2), "a registration")
    ordered = sorted(replies, key=lambda reply: reply.phases[0].begin)
    for one, next_ in pairwise(ordered):
        expect(
            one.phases[2].end <= next_.phases[0].begin,
            f"{PHASES[0]} of one registration began {one.phases[2].end - next_.phases[0].begin} ticks before "
            f"{PHASES[2]} of another had ended",
        )
    return ordered


@check(
    "R32",
    "registrations at once come one after the other, and the last one stays (our choice)",
    on=COMPAT,
    each=(2, 8),
)
def one_after_the_other(c: ConformanceDriver, count: int) -> None:
    """The same ids, each with callbacks that take a while; all of them succeed."""
    extension = Extension(c, 2)
    slow = Callback(Phase(spin_microseconds=100), Phase(spin_microseconds=100), Phase(spin_microseconds=100))
    for _ in range(3):
        pending = [extension.begin_swap(at % 4 + 1, range(2), slow, lane=1 + at) for at in range(count)]
        replies = [succeeded(one, "a registration") for one in pending]
        last = expect_one_after_the_other(replies)[-1]
        version = replies.index(last) % 4 + 1
        extension.expect_version(version, range(2), "which was registered last")


@check("R32", "a second registration waits for the first, whatever phase that is in", on=COMPAT, each=(0, 1, 2))
def second_waits(c: ConformanceDriver, phase: int) -> None:
    """None of its phases comes before."""
    extension = Extension(c)
    first = extension.begin_swap(2, callback=in_phase(phase, Phase(gate=0)))
    c.wait(Condition.at_gate(0))
    second = extension.begin_swap(3, callback=in_phase(0, Phase(gate=1)), lane=2)
    expect_under_way(c, second, "the first registration is under way")
    expect_equal(c.gate(1).waiting, 0, "callbacks of the second registration while the first is under way")
    c.open_gate(0)
    one = succeeded(first, "the first registration")
    c.open_gate(1)
    two = succeeded(second, "the second registration")
    expect_one_after_the_other([one, two])
    extension.expect_version(3)


@check("R32", "a registration goes on when the one before it was refused", on=COMPAT, each=(0, 1, 2))
def after_one_that_was_refused(c: ConformanceDriver, phase: int) -> None:
    """Or when that did not drain; and so does the one behind it."""
    extension = Extension(c)
    refused = extension.begin_swap(2, callback=in_phase(phase, Phase(UNSUCCESSFUL, gate=0)))
    c.wait(Condition.at_gate(0))
    behind = [extension.begin_swap(version, callback=Callback(), lane=version) for version in (3, 4)]
    c.open_gate(0)
    expect_status(refused.result().status, UNSUCCESSFUL, "the refused registration")
    replies = [succeeded(one, "a registration behind it") for one in behind]
    last = expect_one_after_the_other(replies)[-1]
    extension.expect_version(3 + replies.index(last), why="which was registered last")


@check("R32", "registrations of different ids at once all take effect (our choice)", on=COMPAT)
def different_ids(c: ConformanceDriver) -> None:
    """Eight threads, new ids and known ones, while two others call."""
    extension = Extension(c, 4)
    calls = begin_repeated(c, extension, (10, 11), range(2))
    wanted = dict.fromkeys(range(4), 1)
    for round_ in range(4):
        pending = []
        for at in range(8):
            ids = (at, 8 + at)
            version = (round_ + at) % 4 + 1
            pending.append(extension.begin_swap(version, ids, Callback(), lane=1 + at))
            wanted |= dict.fromkeys(ids, version)
        expect_one_after_the_other([succeeded(one, "a registration") for one in pending])
        extension.expect_versions(wanted, "after eight registrations at once")
    end_repeated(c, calls)


@check("R32", "registrations in different extensions do not wait for each other", on=COMPAT)
def different_extensions(c: ConformanceDriver) -> None:
    """Eight extensions, all of them stalled at the same time."""
    made = [Extension(c, number=number) for number in range(8)]
    stays = in_phase(1, Phase(gate=0))
    pending = [extension.begin_swap(2, callback=stays, lane=1 + at) for at, extension in enumerate(made)]
    c.wait(Condition.at_gate(0, len(made)))
    c.open_gate(0)
    for extension, one in zip(made, pending, strict=True):
        succeeded(one, "a swap")
        extension.expect_version(2)


# R20, by the number


@check("R20", "threads that call without a pause lose no call and get no result of a wrong version", each=(2, 12))
def calls_under_swaps(c: ConformanceDriver, threads: int) -> None:
    """Twenty-four swaps through four versions; each result tells its version and is a sum over the arguments."""
    extension = Extension(c, 4)
    c.run(Behave(compute=True, compute_count=2, quiet=True))
    calls = run_beside(c, extension, lanes=range(2, 2 + threads), swaps=24, ids=range(4), callback=Callback())
    for called in calls:
        expect_equal(called.wrong, 0, "results that do not fit version and arguments")
        expect_equal(sum(called.version_calls[1:]), called.calls, "calls that reached an endpoint")
    made = sum(called.calls for called in calls)
    expect(made >= threads, "some thread made no call")
    expect_equal((c.counters().active_calls, c.counters().held_calls), (0, 0), "active and held calls in the end")


@check("R20", "no call goes back to an older version while only newer ones are registered")
def no_call_goes_back(c: ConformanceDriver) -> None:
    """Four threads, versions 1 to 4, four rounds."""
    for round_ in range(4):
        extension = Extension(c, number=round_)
        calls = begin_repeated(c, extension, (2, 3, 4, 5))
        for version in (2, 3, 4):
            extension.swap(version)
        for called in end_repeated(c, calls):
            expect_equal(called.backward, 0, "calls in an older version than the one before")
            expect(called.changes <= 3, f"{called.changes} changes of version in three swaps")


@check("R20", "swaps from several threads against calls from others: every call is of a registered version", on=COMPAT)
def swaps_and_calls_of_many(c: ConformanceDriver) -> None:
    """Four threads swap, some refused, eight call."""
    extension = Extension(c, 2)
    c.run(Behave(compute=True, compute_count=2, quiet=True))
    calls = begin_repeated(c, extension, range(5, 13), range(2))
    for round_ in range(6):
        pending = []
        for at in range(4):
            refusal = in_phase((round_ + at) % 3, Phase(UNSUCCESSFUL if at == 3 else 0))
            pending.append(extension.begin_swap((round_ + at) % 4 + 1, range(2), refusal, lane=1 + at))
        statuses = [one.result().status for one in pending]
        expect_equal(
            [int(status) for status in statuses], [0, 0, 0, UNSUCCESSFUL], "statuses of four registrations at once"
        )
    for called in end_repeated(c, calls):
        expect_equal((called.wrong, sum(called.version_calls[1:])), (0, called.calls), "wrong results, and calls made")
    expect_equal((c.counters().active_calls, c.counters().held_calls), (0, 0), "active and held calls in the end")
