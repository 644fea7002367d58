"""Rules and conditions made of anything: each has an answer, or says in a UsageError what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import UsageError
from hotswap.trace.etl import parse_etl
from hotswap.trace.expect import Verdict
from hotswap.trace.rules import (
    Rule,
    agree,
    all_before,
    at_least,
    at_most,
    bits,
    constant,
    contiguous,
    count,
    each,
    event,
    events,
    exactly,
    exactly_once,
    ge,
    in_order,
    increasing,
    latency,
    latest,
    lt,
    machine,
    matches,
    maybe,
    ne,
    nested,
    never,
    none_of,
    one_of,
    pairs,
    sequence,
    total,
    unique,
)
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape
from hotswap.trace.select import Condition, Selection
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl
from support.rule_traces import Small, traces

NAMES = st.sampled_from(["A", "B", "C", "X", "*", "?", "[A]", "", "None", "A*"])
FIELDS = st.sampled_from(["K", "V", "S", "k", "tid", "cpu", "tick", "ns", "Nope", "thread", "activity", ""])
KEYS = st.none() | FIELDS | st.sampled_from(["thread", "process", "cpu", "activity"]) | st.lists(FIELDS, max_size=3)
TIMES = st.sampled_from(["0 ns", "1 us", "300 ns", "1 s", "9999999999 min", "-1 s", "5", "", "1e9 s", "0.1 ns"])
VALUES = (
    st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["STATUS_TIMEOUT", "a", "ab", b"", b"a" * 16, UUID(int=1), True, None])
)
COUNTS = st.integers(-1, 4)


@st.composite
def conditions(draw: st.DrawFn) -> Any:
    how: list[Callable[[], Any]] = [
        lambda: draw(VALUES),
        lambda: draw(st.sampled_from([ne, lt, ge]))(draw(VALUES)),
        lambda: one_of(*draw(st.lists(VALUES, max_size=3))),
        lambda: ~none_of(*draw(st.lists(VALUES, max_size=3))) | ne(draw(VALUES)),
        lambda: matches(draw(st.text(max_size=3))),
        lambda: bits(draw(st.integers(0, 1 << 66))),
        lambda: range(draw(COUNTS), draw(COUNTS), draw(st.sampled_from([-2, 1, 3]))),
        lambda: latest(event("A")["V"], default=draw(VALUES)),
        lambda: event("A")["V"],
    ]
    return draw(st.sampled_from(how))()


@st.composite
def patterns(draw: st.DrawFn) -> Any:
    one = event(draw(NAMES))
    for _ in range(draw(st.integers(0, 2))):
        one = one.where({draw(FIELDS): draw(conditions())})
    if draw(st.booleans()):
        one = one.renamed(K=draw(FIELDS))
    return one | draw(NAMES) if draw(st.booleans()) else one


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    def a() -> Any:
        return draw(patterns())

    def key() -> Any:
        return draw(KEYS)

    field = draw(FIELDS)
    near = st.none() | TIMES | st.builds(events, st.integers(1, 3))
    how: list[Callable[[], Rule]] = [
        lambda: never(a()),
        lambda: each(a()).followed_by(a(), per=key(), within=draw(near), own=draw(st.booleans())),
        lambda: each(a()).preceded_by(a(), per=key(), within=draw(near), own=draw(st.booleans())),
        lambda: each(a()).satisfies(**{field: draw(conditions())}),
        lambda: each(a()).agrees_with(a(), field, per=key()),
        lambda: exactly(draw(COUNTS), a(), per=key(), for_each=a()),
        lambda: exactly_once(a(), per=key()),
        lambda: at_most(draw(COUNTS), a(), per=key(), in_any=draw(TIMES)),
        lambda: at_least(draw(COUNTS), a(), per=key(), in_every=draw(TIMES)),
        lambda: sequence(a(), maybe(a()), a(), per=key(), repeats=draw(st.booleans()), whole=draw(st.booleans())),
        lambda: machine({"one": {a(): "two"}, "two": {a(): "one", "X": "two"}}, per=key(), start="one", end="two"),
        lambda: pairs(a(), a(), per=key()),
        lambda: nested((a(), a()), ("C", "X"), per=key()),
        lambda: in_order(a(), a(), "X", per=key()),
        lambda: all_before(a(), a(), per=key()),
        lambda: draw(st.sampled_from([increasing, contiguous, unique, constant]))(a()[field], per=key()),
        lambda: latency(a(), a(), per=key()).percentile(draw(st.sampled_from([0, 50, 100, 101]))).at_most(draw(TIMES)),
        lambda: agree(total(a()[field]), count(a()), per=key()),
        lambda: agree(a()[field], draw(VALUES), per=key()),
    ]
    rule = draw(st.sampled_from(how))()
    scopes: list[Callable[[Rule], Rule]] = [
        lambda rule: rule,
        lambda rule: rule.between(a(), a(), per=key()),
        lambda rule: rule.during(a(), a(), match=key()),
        lambda rule: rule.after(a()),
        lambda rule: rule.before(a()),
        lambda rule: rule.from_to(draw(TIMES), draw(TIMES)),
        lambda rule: ~rule | never("X"),
    ]
    return draw(st.sampled_from(scopes))(rule)


@settings(max_examples=200, deadline=None)
@given(traces(most=8), st.data())
def test_a_rule_has_an_answer_or_says_what_is_wrong_with_it(trace: Small, data: st.DataObject) -> None:
    try:
        rule = data.draw(rules())
        answer = rule.on(trace.view)
    except UsageError:
        return
    assert answer.verdict in Verdict
    assert answer.explain()
    assert rule.statement
    assert set(answer.rows) <= set(range(len(trace.view.table)))
    if answer.rows:
        assert answer.picture().endswith("</svg>\n")


EVERYTHING = EventSchema(
    "Everything",
    (
        *(Field(kind.name, kind) for kind in InType if kind <= InType.COUNTEDBINARY and kind not in (
            InType.STRUCT, InType.POINTER, InType.SID)),
        Field("Status", InType.INT32, OutType.NTSTATUS),
        Field("Address", InType.UINT32, OutType.IPV4),
        Field("Flag", InType.UINT8, OutType.BOOLEAN),
        Field("List", InType.UINT16, shape=Shape.VARIABLE),
        Field("Both", InType.STRUCT, fields=(Field("One", InType.UINT8), Field("Two", InType.UNICODESTRING))),
    ),
)  # fmt: skip


def value_of(field: Field, number: int) -> Any:
    if field.in_type == InType.STRUCT:
        return {"One": number, "Two": "t"}
    if field.shape == Shape.VARIABLE:
        return [number] * number
    if "STRING" in field.in_type.name:
        return f"n{number}"
    if field.in_type in (InType.GUID, InType.SYSTEMTIME):
        return bytes([number] * 16)
    if field.in_type in (InType.BINARY, InType.COUNTEDBINARY):
        return bytes(number)
    return number


TABLE = parse_etl(
    build_etl(
        [
            EventRow(
                1000 + number, 0, 1, 2, Provider.named("Everything"), EVERYTHING,
                {field.name: value_of(field, number) for field in EVERYTHING.fields},
            )
            for number in range(4)
        ],
        Session(first_tick=1000),
    )
).events  # fmt: skip
SIGNS = st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "==", "=<", "", " = "])
TEXTS = (
    st.integers(-(1 << 66), 1 << 66).map(str)
    | st.floats().map(str)
    | st.text(max_size=6)
    | st.sampled_from(
        ["0x10", "0b11", "1_000", "STATUS_TIMEOUT", "true", "0.0.0.1", "1" * 5000, "1e999", "-nan", "[1]"]
    )
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*(field.name for field in EVERYTHING.fields), "Nope", ""]) | st.text(max_size=3), SIGNS, TEXTS)
def test_a_condition_chooses_events_or_says_what_is_wrong_with_it(field: str, sign: str, text: str) -> None:
    try:
        rows = Selection(conditions=[Condition.parse(f"{field}{sign}{text}")]).rows(TABLE)
    except UsageError:
        return
    assert set(rows.tolist()) <= set(range(1, 5))
