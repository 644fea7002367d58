"""Every kind of rule, held to its plain definition on small traces with equal ticks, several CPUs and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.expect import Verdict
from hotswap.trace.rules import (
    Rule,
    agree,
    all_before,
    at_least,
    at_most,
    constant,
    contiguous,
    count,
    each,
    event,
    exactly,
    gt,
    in_order,
    increasing,
    latency,
    latest,
    machine,
    nested,
    never,
    one_of,
    pairs,
    thread,
    total,
    unique,
)
from hotswap.trace.rules.evidence import Loss
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from support import naive_rules as naive
from support.naive_rules import Instance
from support.rule_traces import START, E, Small, small, traces

EXAMPLES = 60
KEYS: dict[str, tuple[object, Callable[[E], object]]] = {
    "none": (None, naive.one),
    "field": ("K", lambda e: e.k),
    "text": ("S", lambda e: e.s),
    "two": (("K", "S"), lambda e: (e.k, e.s)),
    "thread": (thread, lambda e: e.tid),
}
keys = st.sampled_from(list(KEYS.values()))
times = st.sampled_from([(None, None), ("0 ns", 0), ("100 ns", 1), ("300 ns", 3), ("900 ns", 9)])


def named(*names: str) -> Callable[[E], bool]:
    return lambda e: e.name in names


def agrees(trace: Small, rule: Rule, instances: Sequence[Instance]) -> None:
    """The rule says what the instances say, and shows events of the trace when it fails."""
    answer = rule.on(trace.view)
    wanted, failures = naive.verdict(trace, instances)
    assert (answer.verdict, answer.checked) == (wanted, len(instances)), answer.explain()
    assert answer.failed == failures, answer.explain()
    assert set(answer.rows) <= {e.row for e in trace.events}
    if failures and answer.rows:
        assert answer.proof is not None
        assert set(answer.proof.marked) <= set(answer.proof.rows)
        assert "<svg" in answer.picture()


def ordinary(function: Callable[..., None]) -> Callable[..., None]:
    return settings(max_examples=EXAMPLES, deadline=None)(function)


@ordinary
@given(traces(), st.sampled_from([("X", named("X")), (event("A", V=gt(1)), lambda e: e.name == "A" and e.v > 1)]))
def test_never(trace: Small, what: tuple[object, Callable[[E], bool]]) -> None:
    agrees(trace, never(what[0]), naive.never(trace, what[1]))


@ordinary
@given(traces(), keys, st.booleans())
def test_never_between(trace: Small, key: tuple[object, Callable[[E], object]], all_events: bool) -> None:
    per, of = key
    if all_events:
        rule = never("X").between("A", "B", match=per)
        wanted = naive.never_between(trace, named("X"), named("A"), named("B"), of, lambda _: None)
    else:
        rule = never("X").between("A", "B", per=per)
        wanted = naive.never_between(trace, named("X"), named("A"), named("B"), of, of)
    agrees(trace, rule, wanted)


@ordinary
@given(traces())
def test_never_with_a_field_of_what_opens_the_window(trace: Small) -> None:
    opener = event("A")
    rule = never(event("X", V=gt(opener["V"]))).between(opener, "B")
    wanted = []
    for _, window in naive.windows(trace, named("A"), named("B"), naive.one):
        assert window.opener is not None
        bad = [
            e for e in trace.events if e.name == "X" and e.v > window.opener.v and naive.surely_inside(window, e)
        ]  # fmt: skip
        wanted.append(Instance(bool(bad), (window.start, bad[0].tick if bad else window.end)))
    agrees(trace, rule, wanted)


@ordinary
@given(traces(), keys, times, st.booleans())
def test_followed_and_preceded(
    trace: Small, key: tuple[object, Callable[[E], object]], time: tuple[str | None, int | None], backward: bool
) -> None:
    ask = each("A").preceded_by if backward else each("A").followed_by
    rule = ask(event("B") | "C", per=key[0], within=time[0])
    agrees(trace, rule, naive.answered(trace, named("A"), named("B", "C"), key[1], time[1], backward=backward))


@ordinary
@given(traces(), st.booleans(), st.sampled_from(["equal", "more", "both"]))
def test_an_answer_may_refer_to_what_it_answers(trace: Small, backward: bool, how: str) -> None:
    first = event("A")
    conditions: dict[str, object] = {}
    if how != "more":
        conditions["K"] = first["K"]
    if how != "equal":
        conditions["V"] = gt(first["V"])
    target = event("B", **conditions)
    ask = each(first).preceded_by if backward else each(first).followed_by

    def fits(a: E, b: E) -> bool:
        return (how == "more" or a.k == b.k) and (how == "equal" or b.v > a.v)

    wanted = naive.answered(trace, named("A"), named("B"), naive.one, None, backward=backward, fits=fits)
    agrees(trace, ask(target), wanted)


@ordinary
@given(traces(), st.sampled_from([None, 2]), st.booleans())
def test_answers_in_windows(trace: Small, limit: int | None, backward: bool) -> None:
    ask = each("A").preceded_by if backward else each("A").followed_by
    rule = ask("B", within=None if limit is None else f"{limit * 100} ns").between("X", "C")
    scope = [window for _, window in naive.windows(trace, named("X"), named("C"), naive.one)]
    wanted = naive.answered(trace, named("A"), named("B"), naive.one, limit, backward=backward, scope=scope)
    agrees(trace, rule, wanted)


@ordinary
@given(traces(ties=False), keys, times, st.booleans())
def test_answers_of_ones_own(
    trace: Small, key: tuple[object, Callable[[E], object]], time: tuple[str | None, int | None], backward: bool
) -> None:
    ask = each("A").preceded_by if backward else each("A").followed_by
    rule = ask("B", per=key[0], within=time[0], own=True)
    agrees(trace, rule, naive.own_answered(trace, named("A"), named("B"), key[1], time[1], backward=backward))


@ordinary
@given(traces(), keys, st.sampled_from([(0, 0), (1, 1), (2, None), (None, 2), (3, 3)]), st.booleans(), st.booleans())
def test_counts(
    trace: Small,
    key: tuple[object, Callable[[E], object]],
    bounds: tuple[int | None, int | None],
    asked: bool,
    windowed: bool,
) -> None:
    (per, of), (low, high) = key, bounds
    keyed = per is not None
    for_each = "C" if asked and keyed else None
    if low is None:
        assert high is not None
        rule: Rule = at_most(high, "X", per=per, for_each=for_each)
    elif high is None:
        rule = at_least(low, "X", per=per, for_each=for_each)
    else:
        rule = exactly(low, "X", per=per, for_each=for_each)
    scope: list[naive.Window] = [naive.WHOLE]
    if windowed:
        rule = rule.between("A", "B")
        scope = [window for _, window in naive.windows(trace, named("A"), named("B"), naive.one)]
    if keyed and windowed and for_each is None:
        return  # whether an event at the edge of a window makes a key is a matter of taste
    wanted = naive.counts(
        trace, named("X"), low, high, of, named("C") if for_each else None, scope, keyed=keyed
    )  # fmt: skip
    agrees(trace, rule, wanted)


@ordinary
@given(traces(), keys, st.integers(0, 2), st.integers(1, 9))
def test_at_most_in_any_time(trace: Small, key: tuple[object, Callable[[E], object]], most: int, limit: int) -> None:
    rule = at_most(most, event("A") | "B", per=key[0], in_any=f"{limit * 100} ns")
    agrees(trace, rule, naive.at_most_in_any(trace, named("A", "B"), most, key[1], limit))


@ordinary
@given(traces(), keys, st.integers(1, 3), st.integers(1, 9))
def test_at_least_in_every_time(
    trace: Small, key: tuple[object, Callable[[E], object]], least: int, limit: int
) -> None:
    rule = at_least(least, event("A") | "B", per=key[0], in_every=f"{limit * 100} ns")
    keyed = key[0] is not None
    agrees(trace, rule, naive.at_least_in_every(trace, named("A", "B"), least, key[1], limit, keyed=keyed))


@ordinary
@given(traces(), keys, st.booleans())
def test_values_that_rise(trace: Small, key: tuple[object, Callable[[E], object]], strictly: bool) -> None:
    rule = increasing(event("A")["V"], per=key[0], strictly=strictly)
    agrees(trace, rule, naive.rising(trace, named("A"), key[1], strictly=strictly))


@ordinary
@given(traces(ties=False), keys, st.sampled_from([None, 0]))
def test_values_without_a_gap(trace: Small, key: tuple[object, Callable[[E], object]], start: int | None) -> None:
    rule = contiguous(event("A")["V"], per=key[0], start=start)
    agrees(trace, rule, naive.contiguous(trace, named("A"), key[1], start))


@ordinary
@given(traces(), keys)
def test_values_that_are_unique_or_constant(trace: Small, key: tuple[object, Callable[[E], object]]) -> None:
    agrees(trace, unique(event("A")["V"], per=key[0]), naive.unique(trace, named("A"), key[1]))
    agrees(trace, constant(event("A")["V"], per=key[0]), naive.constant(trace, named("A"), key[1]))


MACHINES: list[tuple[naive.Table, str | None, tuple[str, ...] | None]] = [
    ({"idle": {"A": "busy"}, "busy": {"B": "idle"}}, "idle", None),
    ({"idle": {"A": "busy"}, "busy": {"B": "idle", "A": "over"}, "over": {}}, "idle", ("idle",)),
    ({"one": {"A": "two", "X": "one"}, "two": {"A": "one", "B": "two"}}, None, None),
    ({"one": {"A": "two"}, "two": {"A": "three", "B": "one"}, "three": {"C": "one"}}, None, ("one",)),
]


@ordinary
@given(traces(), keys, st.sampled_from(MACHINES))
def test_machines(
    trace: Small,
    key: tuple[object, Callable[[E], object]],
    given_machine: tuple[naive.Table, str | None, tuple[str, ...] | None],
) -> None:
    table, start, end = given_machine
    rule = machine(table, per=key[0], start=start, end=end)
    agrees(trace, rule, naive.machine(trace, table, key[1], start, end))


@pytest.mark.parametrize("last", ["A", "X"])
def test_a_machine_that_may_begin_anywhere_depends_on_the_whole_way(last: str) -> None:
    """The first state that is tried goes wrong at B, another goes on: to the end, or to an X that is in doubt."""
    table, start, end = MACHINES[2]
    trace = small([*(E("A", 1000) for _ in range(6)), E("B", 1000), E(last, 1001)], [Loss(1001, 1001, "lost")])
    agrees(trace, machine(table, per=None, start=start, end=end), naive.machine(trace, table, naive.one, start, end))


@ordinary
@given(traces(ties=False), keys, st.sampled_from([None, 1, 2]))
def test_pairs_of_begin_and_end(trace: Small, key: tuple[object, Callable[[E], object]], deepest: int | None) -> None:
    rule = pairs("A", "B", per=key[0]) if deepest == 1 else nested(("A", "B"), per=key[0], deepest=deepest)
    agrees(trace, rule, naive.in_pairs(trace, named("A"), named("B"), key[1], deepest))


@ordinary
@given(traces(), keys, st.sampled_from([1, 50, 90, 99, 100]), st.integers(0, 9))
def test_percentiles(trace: Small, key: tuple[object, Callable[[E], object]], share: float, limit: int) -> None:
    rule = latency("A", "B", per=key[0]).percentile(share).at_most(f"{limit * 100} ns")
    agrees(trace, rule, naive.percentile(trace, named("A"), named("B"), key[1], share, limit))


@ordinary
@given(traces(), keys)
def test_all_before(trace: Small, key: tuple[object, Callable[[E], object]]) -> None:
    agrees(trace, all_before("A", "B", per=key[0]), naive.all_before(trace, named("A"), named("B"), key[1]))


@ordinary
@given(traces(ties=False), keys)
def test_in_order(trace: Small, key: tuple[object, Callable[[E], object]]) -> None:
    per, of = key
    wanted = naive.in_order(trace, [named("A"), named("B"), named("A", "C")], of)
    if per is None and not wanted:
        wanted = [Instance(True, (BEGINNING, END_OF_TIME))]
    agrees(trace, in_order("A", "B", event("A") | "C", per=per), wanted)


@ordinary
@given(traces(), st.sampled_from([None, 0, 2]))
def test_what_was_said_last(trace: Small, default: int | None) -> None:
    rule = each(event("A") | "B").satisfies(V=latest(event("X")["V"], event("C")["V"], default=default))
    agrees(trace, rule, naive.said_last(trace, named("A", "B"), named("X", "C"), default))


@ordinary
@given(traces(), keys)
def test_agreement(trace: Small, key: tuple[object, Callable[[E], object]]) -> None:
    agrees(
        trace, each("A").agrees_with("B", "V", per=key[0]), naive.agreeing(trace, named("A"), named("B"), key[1])
    )  # fmt: skip


@ordinary
@given(traces())
def test_numbers_that_agree(trace: Small) -> None:
    whole = (BEGINNING, END_OF_TIME)
    a, b = ([e for e in trace.events if e.name == name] for name in "AB")
    agrees(trace, agree(count("A"), count("B")), [Instance(len(a) != len(b), whole)])
    agrees(trace, agree(count("A"), 2, relation="<="), [Instance(len(a) > 2, whole)])
    agrees(trace, agree(total(event("A")["V"]), count("B")), [Instance(sum(e.v for e in a) != len(b), whole)])
    wanted = [
        Instance(sum(e.k == k for e in a) != sum(e.k == k for e in b), whole) for k in {e.k for e in [*a, *b]}
    ]  # fmt: skip
    agrees(trace, agree(count("A"), count("B"), per="K"), wanted)
    said = [Instance(a[-1].v != len(b), whole)] if a else [Instance(False, whole, undecided=True)]
    agrees(trace, agree(event("A")["V"], count("B")), said)


@pytest.mark.parametrize("pattern", [event("A", V=one_of(1, 2)), event("A", V=range(1, 3)), event("A", V={1, 2})])
@given(trace=traces(losses=False))
@settings(max_examples=30, deadline=None)
def test_values_may_be_several(pattern: object, trace: Small) -> None:
    agrees(trace, never(pattern), naive.never(trace, lambda e: e.name == "A" and e.v in (1, 2)))


def test_what_is_lost_counts_as_far_as_a_way_may_go() -> None:
    """A key that fails in one order, or without what is lost, at one event may fail at a later one otherwise."""
    table = {"one": {"A": "two"}, "two": {"A": "three", "B": "one"}, "three": {"C": "one"}}
    trace = small([E("A", 1016), E("C", 1025), E("A", 1025)], [Loss(1027, 1027, "lost")])
    assert machine(table, end="one").on(trace.view).verdict is Verdict.INCONCLUSIVE
    trace = small([E("A", 1001), E("C", 1003), E("C", 1009)], [Loss(1002, 1002, "lost"), Loss(1006, 1006, "lost")])
    assert machine(table, start="one").on(trace.view).verdict is Verdict.INCONCLUSIVE
    trace = small([E("A", 1001), E("C", 1003), E("C", 1009)], [Loss(1002, 1002, "lost")])
    assert machine(table, start="one").on(trace.view).verdict is Verdict.FAIL


@ordinary
@given(traces(), st.integers(0, 30), st.none() | st.integers(0, 30))
def test_never_in_a_time(trace: Small, begin: int, length: int | None) -> None:
    """Of what lies beyond the end of the recording nothing is known."""
    stop = None if length is None else f"{(begin + length) * 100} ns"
    rule = never("X").from_to(f"{begin * 100} ns", stop)
    low = START + begin if begin else BEGINNING
    high = END_OF_TIME if length is None else START + begin + length
    bad = any(e.name == "X" and low <= e.tick <= high for e in trace.events)
    beyond = [Loss(trace.end + 1, END_OF_TIME, "")] if (low if length is None else high) > trace.end else []
    known = replace(trace, losses=[*trace.losses, *beyond])
    agrees(known, rule, [Instance(bad, None if bad else (low, high))])


def test_a_time_of_silence_counts_to_its_end_and_from_its_begin() -> None:
    trace = small([E("A", 1000 + tick) for tick in (0, 10, 20, 90, 100)])
    beats = at_least(1, "A", in_every="2 us")
    assert beats.from_to("0 s", "4 us").on(trace.view).verdict is Verdict.PASS
    assert beats.from_to("0 s", "5 us").on(trace.view).verdict is Verdict.FAIL
    assert beats.from_to("6.5 us", "10 us").on(trace.view).verdict is Verdict.FAIL
    assert beats.from_to("7 us", "10 us").on(trace.view).verdict is Verdict.PASS
    beyond = beats.from_to("7 us", "20 us").on(trace.view)
    assert beyond.verdict is Verdict.INCONCLUSIVE
    assert beyond.message.endswith(
        "but with events missing this proves nothing: the trace ends before 20 us (after 10.1 us)"
    )
    assert never("B").from_to("1 s", "5 s").on(trace.view).verdict is Verdict.INCONCLUSIVE
    assert never("B").from_to("1 s").on(trace.view).verdict is Verdict.INCONCLUSIVE
    assert never("B").from_to("1 us", "10 us").on(trace.view).verdict is Verdict.PASS


def test_a_recording_that_is_too_short_shows_no_rate() -> None:
    beats = at_least(2, "B", in_every="1 s")
    answer = beats.on(small([E("A", 1001), E("B", 1002), E("A", 1090)]).view)
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert answer.message == "only 1 B in the 9 us that were recorded, which are less than 1 s"
    assert beats.on(small([E("B", 1001), E("B", 1002)]).view).verdict is Verdict.PASS
