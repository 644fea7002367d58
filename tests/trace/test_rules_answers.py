"""What answers say: each kind of rule seen to fail, in a sentence and with the fewest events that show it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hotswap.errors import UsageError
from hotswap.trace.expect import Verdict
from hotswap.trace.rules import (
    Inconclusive,
    Loss,
    Proof,
    Rule,
    View,
    agree,
    all_before,
    at_least,
    at_most,
    bits,
    constant,
    contiguous,
    count,
    cpu,
    each,
    event,
    events,
    exactly_once,
    ge,
    in_order,
    increasing,
    latency,
    latest,
    machine,
    matches,
    maybe,
    ne,
    nested,
    never,
    none_of,
    pairs,
    sequence,
    statement,
    that,
    thread,
    total,
    unique,
)
from hotswap.trace.rules.rule import view_of
from support.rule_traces import E, Small, small
from support.swap_trace import good_run

# A worker of key 1 that begins, works and ends three times, and one of key 2 that forgets to end.
TRACE = [
    E("A", 1000, v=1, s="one"), E("B", 1010, v=1, s="one"), E("C", 1020, v=1, s="one"),
    E("A", 1030, v=2), E("B", 1040, v=2), E("C", 1050, v=2),
    E("A", 1060, 1, 2, k=2, v=1), E("B", 1070, 1, 2, k=2, v=9), E("A", 1080, 1, 2, k=2, v=2),
    E("X", 1090, 0, 3, v=4),
    E("A", 1100, v=3), E("B", 1130, v=3), E("C", 1140, v=3),
]  # fmt: skip
TIE = [E("A", 1000), E("X", 1010, 0), E("B", 1010, 1), E("X", 1020)]

FAILING: list[tuple[str, Rule, str, list[str]]] = [
    ("never", never("X"), "X at 9.0 us, where none was expected", ["X"]),
    (
        "between", never("B").between("A", "C", per="K"),
        "B at 1.0 us, between A and C of the same K (0.0 to 2.0 us) (and 3 more)", ["A", "B", "C"],
    ),
    (
        "not answered", each("A").followed_by("C", per="K"),
        "A of K 2 at 6.0 us is not followed by a C: none comes after it of the same K (and 1 more)", ["A"],
    ),
    (
        "too late", each(event("A", K=1)).followed_by("B", per="K", within="1 us"),
        "A of K 1 at 10.0 us is not followed by a B within 1 us: it comes 3 us later, 2 us too late", ["A", "B"],
    ),
    (
        "one for two", each(event("A", K=2)).followed_by(event("B", K=2), own=True),
        "A at 8.0 us is not followed by a B (K=2) of its own: none comes after it", ["A"],
    ),
    (
        "too many between", each("A").followed_by("C", within=events(1)),
        "A at 0.0 us is not followed by a C within the next event: 1 lie between (and 4 more)", ["A", "C"],
    ),
    (
        "not preceded", each("A").preceded_by("C", per="K"),
        "A of K 1 at 0.0 us is not preceded by a C: none comes before it of the same K (and 2 more)", ["A"],
    ),
    (
        "preceded long before", each("C").preceded_by("A", per="K", within="2 us"),
        "C of K 1 at 14.0 us is not preceded by an A within 2 us: it comes 4 us earlier, 2 us too far away", ["A", "C"],
    ),
    ("satisfies", each("B").satisfies(V=ne(9)), "B at 7.0 us has V 9, expected not 9", ["B"]),
    (
        "latest", each("B").satisfies(V=latest(event("A")["V"])),
        "B at 7.0 us has V 9, expected 1 by the A at 6.0 us", ["A", "B"],
    ),
    (
        "agrees", each("B").agrees_with("A", "V", per="K"),
        "B of K 2 at 7.0 us has V 9 where the A has 1", ["A", "B"],
    ),
    (
        "agrees by other names", each("B").agrees_with("A", per="K", cpu="K"),
        "B of K 1 at 1.0 us has cpu 0 where the A has K 1", ["A", "B"],
    ),
    (
        "exactly", exactly_once("C", per="K", for_each="A"),
        "expected exactly 1 C for K 1 (the A at 0.0 us), the trace has 3 (and 1 more)", ["C", "C"],
    ),
    ("at least", at_least(4, "C"), "expected at least 4 C, the trace has 3", ["C", "C", "C"]),
    (
        "at most in a window", at_most(0, "B").between(event("A", V=3), "C"),
        "expected at most 0 B, between A (V=3) and C (10.0 to 14.0 us) there are 1", ["A", "B", "C"],
    ),
    (
        "at most in any time", at_most(1, "A", in_any="3.1 us"),
        "2 A within 3 us from 0.0 us on, where at most 1 were expected in 3.1 us (and 3 more)", ["A", "A"],
    ),
    (
        "at least in every time", at_least(1, "C", in_every="5 us"),
        "no C from 5.0 to 14.0 us (9 us), where at least 1 were expected in every 5 us", ["C", "C"],
    ),
    ("increasing", increasing(event("A")["V"]), "A at 6.0 us has V 1 after 2", ["A", "A"]),
    (
        "contiguous", contiguous(event("B")["V"], per="K", start=1),
        "B of K 2 at 7.0 us has V 9 where 1 was due", ["B"],
    ),
    (
        "gap", contiguous(event("A", V=none_of(2))["V"]),
        "A at 6.0 us has V 1 where 2 was due (and 1 more)", ["A", "A"],
    ),
    ("unique", unique(event("A")["V"]), "A at 6.0 us has V 1, which the one at 0.0 us has already", ["A", "A"]),
    ("constant", constant(event("C")["V"]), "C at 5.0 us has V 2; the first one, at 2.0 us, has 1", ["C", "C"]),
    (
        "machine",
        machine({"idle": {"A": "begun"}, "begun": {"B": "worked"}, "worked": {"C": "idle"}}, per="K", start="idle"),
        "A of K 2 at 8.0 us comes in state 'worked' after the B at 7.0 us, where C is due", ["B", "A"],
    ),
    (
        "machine that does not end",
        machine({"idle": {"A": "begun"}, "begun": {"C": "idle", "A": "begun"}}, per="K", start="idle", end="idle"),
        "K 2 ends in state 'begun' with the A at 8.0 us, expected 'idle'", ["A"],
    ),
    (
        "machine that begins otherwise", machine({"idle": {"B": "begun"}, "begun": {"A": "idle"}}, start="idle"),
        "A at 0.0 us comes first: the first is expected to be B", ["A"],
    ),
    (
        "sequence", sequence("A", "B", maybe("X"), "C", per=thread),
        "A of thread 2 at 8.0 us comes after the B at 7.0 us, where X or C is due", ["B", "A"],
    ),
    (
        "sequence that stops",
        sequence(event("A", K=1), event("B", K=1), event("C", K=1), per="K").before(event("C", V=3)),
        "K 1 ends with the B at 13.0 us, and C (K=1) was due", ["B"],
    ),
    ("pairs", pairs("A", "C", per="K"), "A of K 2 at 6.0 us is never ended (and 1 more)", ["A", "A"]),
    ("pairs inside", pairs("A", "C"), "A at 6.0 us is never ended (and 2 more)", ["A", "A"]),
    ("ends what was not begun", pairs("B", "A", per="K"), "A of K 1 at 0.0 us ends what was not begun", ["A"]),
    ("too deep", nested(("A", "C"), deepest=2), "A at 6.0 us is never ended (and 2 more)", ["A", "A"]),
    (
        "percentile", latency("A", "B", per="K").percentile(99).at_most("2 us"),
        "p99 time from A to B of the same K is 3 us, expected at most 2 us (of 4)", ["A", "B"],
    ),
    (
        "longest", latency("A", "C", per="K").longest().at_least("1 ms"),
        "longest time from A to C of the same K is 4 us, expected at least 1 ms (of 3)", ["A", "C"],
    ),
    ("counters", agree(event("X")["V"], count("C")), "the V of X is 4, the number of C is 3: 1 fewer", ["X"]),
    ("sums", agree(total(event("C")["V"]), 7), "the sum of V of C is 6, expected 7", ["C", "C", "C"]),
    ("given by key", agree(count("C"), {1: 2, 2: 0}, per="K"), "the number of C for K 1 is 3, expected 2", []),
    ("relation", agree(count("A"), 3, relation="<"), "the number of A is 5, expected less than 3", []),
    ("all before", all_before("A", "X"), "A at 10.0 us comes after the X at 9.0 us", ["X", "A"]),
    ("in order", in_order("X", "C", "X"), "no X comes after the C at 14.0 us", ["X", "C"]),
    ("not", ~at_least(1, "C"), "it holds: 3 C", []),
    ("and", at_least(1, "C") & never("X"), "X at 9.0 us, where none was expected", ["X"]),
    ("or", at_least(9, "C") | never("X"), "expected at least 9 C, the trace has 3; X at 9.0 us", ["C", "C", "C"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "message", "names"), [item[1:] for item in FAILING], ids=[item[0] for item in FAILING]
)
def test_each_kind_of_rule_is_seen_to_fail(rule: Rule, message: str, names: list[str]) -> None:
    trace = small(TRACE, tail=20)
    answer = rule.named("the-rule").on(trace.view)
    assert answer.verdict is Verdict.FAIL, answer.explain()
    assert not answer
    assert message in answer.message
    assert [str(trace.view.table.row(row)["event"]) for row in answer.rows] == names


def crossing() -> Small:
    """Brackets that cross: A B ( X A ( B: A and B of their own kinds, X closed by C too late."""
    return small([E("A", 1000), E("X", 1010), E("B", 1020), E("C", 1030)])


def test_brackets_of_several_kinds_must_not_cross() -> None:
    answer = nested(("A", "B"), ("X", "C")).on(crossing().view)
    assert answer.message == "B at 2.0 us ends while the X at 1.0 us is open (and 1 more)"
    assert nested(("A", "C"), ("X", "B")).on(crossing().view)
    assert "3 deep" not in nested(("A", "C"), ("X", "B"), deepest=2).on(crossing().view).message
    assert "X at 1.0 us begins inside another that began at 0.0 us" in (
        nested(("A", "C"), ("X", "B"), deepest=1).on(crossing().view).message
    )


def test_a_failure_explains_itself_with_the_statement_and_the_events() -> None:
    answer = each("A").followed_by("C", per="K").named("ends").on(small(TRACE).view)
    sentence, stated, head, *rows = answer.explain().splitlines()
    assert sentence == f"fail: ends: {answer.message}"
    assert stated == "stated: Each A is followed by a C of the same K."
    assert "event" in head
    assert len(rows) == 1
    assert "K=2" in rows[0]
    assert (answer.checked, answer.failed, answer.open) == (5, 2, 0)
    assert answer.result.slice == answer.rows
    with pytest.raises(AssertionError, match="fail: ends"):
        answer.require()


def test_a_slice_is_never_long() -> None:
    many = small([E("A", 1000 + i, v=i % 7) for i in range(60)])
    for rule in (
        at_most(20, "A"),
        at_most(30, "A", in_any="1 s"),
        agree(total(event("A")["V"]), 0),
        unique(event("A")["V"]),
    ):
        answer = rule.on(many.view)
        assert answer.verdict is Verdict.FAIL
        assert 1 <= len(answer.rows) <= 12
        assert "<svg" in answer.picture()


def test_nothing_to_ask_about_is_inconclusive_unless_it_may_be_so() -> None:
    trace = small(TRACE)
    rules: list[Rule] = [
        each("Aa").followed_by("B"),
        never("X").between("Aa", "B"),
        contiguous(event("Aa")["V"]),
        pairs("Aa", "Bb"),
        latency("Aa", "B").median().at_most("1 s"),
        exactly_once("B", per="K", for_each="Aa"),
    ]
    for rule in rules:
        answer = rule.on(trace.view)
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "Aa" in answer.message
        assert "nothing could be checked" in answer.message
        assert rule.allow_none().on(trace.view)


def test_a_name_that_the_trace_lacks_is_told_with_the_one_that_is_like_it() -> None:
    trace = Small(good_view(), [])
    assert "(is IterationBegin meant?)" in each("IteratoinBegin").followed_by("IterationEnd").on(trace.view).message
    answer = never("IteratoinBegin").on(trace.view)
    assert answer
    assert "is IterationBegin meant?" in answer.message


def good_view() -> View:
    return view_of(good_run().etl())


LOSS = Loss(1055, 1065, "a buffer is missing")
BEGINNING_OF_IT = Loss(-1, 999, "the file begins later than the session")


@pytest.mark.parametrize(
    ("rule", "lost", "verdict"),
    [
        # What is there stays there, whatever is missing.
        (never("X"), LOSS, "fail"),
        (at_most(2, "C"), LOSS, "fail"),
        (increasing(event("A")["V"]), LOSS, "fail"),
        (each("B").satisfies(V=ne(9)), LOSS, "fail"),
        (all_before("A", "X"), LOSS, "fail"),
        # What is not there may be what is missing, in the time in which it would be.
        (never("Z"), LOSS, "inconclusive"),
        (at_least(4, "C"), LOSS, "inconclusive"),
        (at_most(3, "C"), LOSS, "inconclusive"),
        (at_least(3, "C"), LOSS, "pass"),
        (each(event("A", K=2, V=1)).followed_by("C", per="K"), LOSS, "inconclusive"),
        (each(event("A", K=2, V=2)).followed_by("C", per="K"), LOSS, "fail"),
        (each(event("A", K=1)).followed_by("C", per="K"), LOSS, "pass"),
        (each(event("A", K=1)).followed_by("B", per="K", within="1 us"), LOSS, "fail"),
        (never("B").between(event("A", V=2), event("C", V=2)), LOSS, "fail"),
        (never("X").between(event("A", V=2, K=1), event("C", V=2)), LOSS, "pass"),
        (never("X").between("B", "C"), LOSS, "fail"),
        (never("Z").between(event("A", K=2, V=1), "C"), LOSS, "inconclusive"),
        (contiguous(event("A", K=1)["V"]), LOSS, "pass"),
        (contiguous(event("C")["V"], step=2), LOSS, "fail"),
        (contiguous(event("A", V=ne(2))["V"]), LOSS, "fail"),
        (agree(count("C"), 3), LOSS, "inconclusive"),
        (pairs(event("A", K=1), event("C", K=1)), LOSS, "pass"),
        (pairs(event("A", K=2, V=1), event("C", K=2)), LOSS, "inconclusive"),
        (pairs(event("A", K=2), event("C", K=2)), LOSS, "fail"),
        (sequence("A", "B", "C", per="K").between(event("X"), event("Z")), LOSS, "pass"),
        (sequence("A", "B", "C", per="K"), LOSS, "fail"),
        (sequence(event("A", K=1), event("B", K=1), event("C", K=1)), LOSS, "inconclusive"),
        (latency("A", "B", per="K").percentile(99).at_most("1 ms"), LOSS, "inconclusive"),
        (latency("A", "B", per="K").median().at_most("2 us"), LOSS, "pass"),
        (latency("A", "B", per="K").longest().at_most("2 us"), LOSS, "fail"),
        (each("C").preceded_by("A", per="K"), BEGINNING_OF_IT, "pass"),
        (each("A").preceded_by("X", per="K"), BEGINNING_OF_IT, "inconclusive"),
    ],
)  # fmt: skip
def test_a_loss_leaves_open_what_depends_on_its_time_and_nothing_else(rule: Rule, lost: Loss, verdict: str) -> None:
    answer = rule.on(small(TRACE, [lost], tail=50).view)
    assert str(answer.verdict) == verdict, answer.explain()
    if verdict == "inconclusive":
        assert lost.what in answer.message
        with pytest.raises(Inconclusive):
            answer.require()


def test_a_loss_on_another_cpu_does_not_touch_what_is_of_one_cpu() -> None:
    trace = small(TRACE, [Loss(1061, 1069, "lost", 0)])
    assert each(event("A", K=2, V=1)).followed_by("B", per=cpu, own=True).on(trace.view)
    assert not each(event("A", K=2, V=1)).followed_by("B", own=True).on(trace.view)


def test_what_is_not_yet_due_at_the_end_is_open() -> None:
    rule = each("A").followed_by("C", per="K", within="20 us")
    answer = rule.on(small(TRACE).view)
    assert answer.message == (
        "A of K 2 at 6.0 us: a C may still come within 20 us, but the trace ends 8 us after it (and 1 more)"
    )
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert rule.on(small(TRACE, tail=500).view).verdict is Verdict.FAIL
    assert "the trace begins 0 ns before it" in each("A").preceded_by("X", within="1 ms").on(small(TRACE).view).message


def test_an_order_that_the_ticks_do_not_show_is_held_against_nobody() -> None:
    trace = small(TIE)
    assert never("X").between("A", "B").on(trace.view)
    assert each("B").preceded_by(event("X", cpu=0)).on(trace.view)
    assert each(event("X", tick=1010)).followed_by("B").on(trace.view)
    assert sequence("A", "B", "X", "X").on(trace.view)
    assert sequence("A", "X", "B", "X").on(trace.view)
    assert not sequence("A", "X", "X", "B").on(trace.view)
    one_cpu = small([E("A", 1000), E("X", 1010), E("B", 1010), E("X", 1020)])
    assert not never("X").between("A", "B").on(one_cpu.view)
    assert not sequence("A", "B", "X", "X").on(one_cpu.view)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (event("A", V=ge(2)), [3, 8, 10]),
        (event("A", V=ge(2) & ne(3)), [3, 8]),
        (event("A", V=ge(3) | bits(1)), [0, 6, 10]),
        (event("A", V=~bits(1)), [3, 8]),
        (event("A", V=that(lambda v: v % 2 == 0)), [3, 8]),
        (event("A", V=lambda v: v % 2 == 0), [3, 8]),
        (event("A", S=matches("o*e")), [0]),
        (event("A").where(lambda e: e["V"] > e["K"]), [3, 10]),
        (event("A").where({"V": 3}, K=1), [10]),
        (event("?", tid=3), [9]),
        (event(V=9), [7]),
        (event("A", provider="Rules.Test", V=3), [10]),
        (event("A", provider="Nobody"), []),
        (event("A", v=3), [10]),
    ],
)  # fmt: skip
def test_conditions(condition: object, rows: list[int]) -> None:
    trace = small(TRACE)
    first = trace.events[0].row
    assert [row - first for row in trace.view.match(condition).rows.tolist()] == rows  # type: ignore[arg-type]


begun = event("A")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: never(7), "7 is no event"),
        (lambda: each("A").followed_by("B", within=50), "50 is no time; say it with a unit"),
        (lambda: each("A").followed_by("B", within="50 hours"), "'50 hours' is no time"),
        (lambda: each("A").followed_by("B", per=7), "per=7"),
        (lambda: each("A").followed_by(event("B", K=event("C")["K"])), "refers to the K of the C"),
        (lambda: never(event("B", K=begun["K"])).on(small(TRACE).view), "refers to the K of the A"),
        (lambda: never(event("B", K=latest(begun["K"]))).on(small(TRACE).view), "satisfies"),
        (lambda: each("A").agrees_with("B"), "needs the fields"),
        (lambda: each("A").satisfies(), "needs conditions"),
        (lambda: each("A").satisfies(V=begun["V"]), "latest"),
        (lambda: events(0), "at least 1"),
        (lambda: exactly_once("A", for_each="B"), "needs per="),
        (lambda: at_least(-1, "A"), "-1 is no number of events"),
        (lambda: unique("A"), "'A' is no field of an event"),
        (lambda: contiguous(begun["V"], step=0), "step is 0"),
        (lambda: contiguous(begun["S"]).on(small(TRACE).view), "no number"),
        (lambda: sequence("A"), "at least two steps"),
        (lambda: machine({}), "no transition"),
        (lambda: machine({"a": {"A": "b"}}, start="c"), "no state 'c'"),
        (lambda: machine({"a": {"A": "b", event("A", V=1): "a"}}).on(small(TRACE).view), "patterns overlap"),
        (lambda: nested("A"), "pairs of begin and end"),
        (lambda: nested(("A", "B"), deepest=0), "deepest is 0"),
        (lambda: latency("A", "B").percentile(0), "percentile(0)"),
        (lambda: agree(count("A"), "many"), "'many' is no number"),
        (lambda: agree(1, 2, per="K"), "must come from the trace"),
        (lambda: agree(count("A"), 1, relation="~"), "relation '~'"),
        (lambda: agree(event("A")["S"], 1).on(small(TRACE).view), "no integer"),
        (lambda: in_order("A"), "at least two events"),
        (lambda: never("A").after("B").before("C"), "holds after the first B already"),
        (lambda: (never("A") & never("B")).after("C"), "say of each part"),
        (lambda: never(event("A", V="STATUS_NONSENSE")).on(small(TRACE).view), "no NTSTATUS known"),
        (lambda: never(event("A", V=that(lambda v: 1))).on(small(TRACE).view), "not one bool for each of 5 values"),
        (lambda: each("A").followed_by("B", per="Q").on(small(TRACE).view), "A has no field 'Q'"),
        (lambda: never("A").on("a trace"), "is no trace"),
    ],
)  # fmt: skip
def test_a_slip_of_the_pen_is_told(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        wrong()
    assert message in str(caught.value)


def test_a_rule_is_no_truth_and_a_pattern_no_sequence() -> None:
    with pytest.raises(TypeError, match="ask it"):
        assert never("X")
    with pytest.raises(TypeError):
        list(event("A"))


def test_a_statement_of_ones_own_proves_with_events_or_is_open_to_losses() -> None:
    @statement("Every second A is odd.")
    def every_second(view: View) -> Proof | None:
        found = view.match(event("A"), ["V"])
        bad = [int(row) for row, value in zip(found.rows[1::2], found["V"][1::2], strict=True) if value % 2 == 0]
        return Proof("an even A", (bad[0],), (bad[0],)) if bad else None

    @statement("There are four B.")
    def four(view: View) -> str | None:
        return None if len(view.match(event("B"))) == 5 else "there are others"

    whole, lossy = small(TRACE), small(TRACE, [LOSS])
    assert every_second.statement == "Every second A is odd."
    assert every_second.on(whole.view).message == "an even A"
    assert every_second.on(lossy.view).verdict is Verdict.FAIL
    assert four.on(whole.view).message == "there are others"
    assert four.on(lossy.view).verdict is Verdict.INCONCLUSIVE


def test_events_that_nobody_answered_are_told_of_a_latency() -> None:
    trace = small([E("A", 1010), E("B", 1020), E("A", 1030), E("A", 1040)])
    answer = latency("A", "B").longest().at_most("1 us").on(trace.view)
    assert answer.message == "longest 1 us from A to B, of 1; not counted: 2 A without a B after"
