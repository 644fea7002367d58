"""Where a trace says that something is missing: whatever was taken out of a file lies there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.framing import BufferFlag
from hotswap.trace.modes import MODE_CIRCULAR, MODE_KB_SIZES
from hotswap.trace.rules import Evidence, Loss, View, at_most, each, event, never
from hotswap.trace.rules.order import BEGINNING, END_OF_TIME
from hotswap.trace.rules.rule import decide
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl, lost_event
from support.real_samples import samples_folder

PROVIDER = Provider.named("Rules.Test")
NUMBER = EventSchema("Number", (Field("N", InType.UINT32), Field("Name", InType.UNICODESTRING)))
SIZE = 1024
SESSION = Session(first_tick=1000, processors=3, buffer_size=SIZE)


def rows(count: int, cpus: int = 3) -> list[EventRow]:
    return [
        EventRow(1000 + 10 * i, i * 7 % 11 % cpus, 4, 5, PROVIDER, NUMBER, {"N": i, "Name": "x" * (i % 20)})
        for i in range(count)
    ]


def numbers(etl: EtlFile) -> dict[int, tuple[int, int]]:
    """(tick, CPU) of each event by its number."""
    found = etl.events.events("Number", PROVIDER.guid)
    if not len(found):
        return {}
    return dict(zip(found["N"].tolist(), zip(found.tick.tolist(), found.cpu.tolist(), strict=True), strict=True))


def covered(losses: tuple[Loss, ...], tick: int, cpu: int) -> bool:
    return any(loss.start <= tick <= loss.end and loss.cpu in (None, cpu) for loss in losses)


WHOLE = build_etl(rows(240), SESSION)
BUFFERS = len(WHOLE) // SIZE


def check_damage(data: bytes) -> tuple[Evidence, set[int]]:
    """All events that are not there any more lie in what the evidence says is missing. Returns their numbers."""
    etl = parse_etl(data)
    evidence, before, after = Evidence.of(etl), numbers(parse_etl(WHOLE)), numbers(etl)
    gone = set(before) - set(after)
    assert [n for n in gone if not covered(evidence.losses, *before[n])] == []
    return evidence, gone


def test_a_whole_file_misses_nothing() -> None:
    evidence, gone = check_damage(WHOLE)
    assert (evidence.losses, gone) == ((), set())
    assert (evidence.start, evidence.end) == (1000, 1000 + 10 * 239)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, BUFFERS - 2), min_size=1, max_size=4))
def test_missing_buffers_lie_between_those_around_them(taken: set[int]) -> None:
    kept = [WHOLE[i * SIZE : (i + 1) * SIZE] for i in range(BUFFERS) if i not in taken]
    evidence, gone = check_damage(b"".join(kept))
    assert gone
    assert all("missing" in loss.what or "written and" in loss.what for loss in evidence.losses)
    if len(taken) == 1:
        # On its CPU the loss is as long as one buffer, on the others as the way from one event to the next buffer.
        placed = [loss for loss in evidence.losses if loss.end < END_OF_TIME]
        assert all(loss.end - loss.start < 1000 for loss in placed if loss.start > BEGINNING)


@settings(max_examples=60, deadline=None)
@given(st.integers(SIZE, len(WHOLE) - 1))
def test_a_cut_file_misses_its_end(end: int) -> None:
    evidence, gone = check_damage(WHOLE[:end])
    assert all(loss.end == END_OF_TIME or loss.cpu is not None for loss in evidence.losses)
    assert evidence.losses or not gone


@settings(max_examples=80, deadline=None)
@given(st.integers(SIZE, len(WHOLE) - 8), st.binary(min_size=8, max_size=8))
def test_damage_is_a_loss_of_what_it_takes_along(at: int, garbage: bytes) -> None:
    if at % SIZE < 72:
        return  # a buffer header that says another time, CPU or number cannot be told from a true one
    data = bytearray(WHOLE)
    data[at : at + 8] = garbage
    whole, etl = parse_etl(WHOLE), parse_etl(bytes(data))
    evidence, before, after = Evidence.of(etl), numbers(whole), numbers(etl)
    found = whole.events.events("Number", PROVIDER.guid)
    starts, sizes = whole.events.offset[found.rows], whole.events.size[found.rows]
    hit = set(found["N"][(starts < at + 8) & (starts + sizes > at)].tolist())
    # What was hit may be another event now; all others are there, or known to be missing.
    assert [n for n in set(before) - set(after) - hit if not covered(evidence.losses, *before[n])] == []


def test_an_unclosed_session_goes_on_after_the_last_event_of_each_cpu() -> None:
    etl = parse_etl(build_etl(rows(90), replace(SESSION, closed=False)))
    evidence = Evidence.of(etl)
    last = {int(cpu): int(etl.events.tick[etl.events.cpu == cpu].max()) for cpu in range(3)}
    assert {(loss.cpu, loss.start, loss.end) for loss in evidence.losses} == {
        (cpu, tick, END_OF_TIME) for cpu, tick in last.items()
    }
    view = View(etl.events, evidence)
    assert str(decide(each(event("Number", N=3)).followed_by(event("Number", N=4)), view).verdict) == "pass"
    assert str(decide(each(event("Number", N=3)).followed_by(event("Number", N=999)), view).verdict) == "inconclusive"
    assert str(decide(never("Number"), view).verdict) == "fail"


@pytest.mark.parametrize("flag", [BufferFlag.EVENTS_LOST, BufferFlag.BUFFER_LOST])
def test_a_flagged_buffer_is_a_loss_around_it_and_explains_the_counters(flag: BufferFlag) -> None:
    counted = {"events_lost": 3} if flag is BufferFlag.EVENTS_LOST else {"buffers_lost": 3}
    etl = parse_etl(build_etl(rows(90), replace(SESSION, lost_flag=flag, **counted)))
    (loss,) = Evidence.of(etl).losses
    flagged = etl.buffers[np.flatnonzero(etl.buffers["flags"] & flag)[0]]
    assert loss.cpu == flagged["cpu"]
    assert loss.start > BEGINNING
    assert "flagged" in loss.what


@pytest.mark.parametrize(("field", "text"), [("events_lost", "3 lost events"), ("buffers_lost", "3 lost buffers")])
def test_counters_of_the_header_have_no_place(field: str, text: str) -> None:
    etl = parse_etl(build_etl(rows(20), replace(SESSION, **{field: 3})))
    (loss,) = Evidence.of(etl).losses
    assert (loss.start, loss.end, loss.cpu) == (BEGINNING, END_OF_TIME, None)
    assert text in loss.what
    assert str(never("Nothing").on(etl).verdict) == "inconclusive"


def test_a_gap_explains_the_lost_buffers_of_the_header() -> None:
    etl = parse_etl(build_etl(rows(90), replace(SESSION, gap_before=4, buffers_lost=1)))
    losses = Evidence.of(etl).losses
    assert losses
    assert all("buffer" in loss.what and "is missing" in loss.what for loss in losses)


def test_a_record_of_lost_events_tells_of_the_time_since_the_one_before() -> None:
    some = [*rows(10, 1), lost_event(1095, 0, 32), *(replace(row, tick=row.tick + 500) for row in rows(5, 1))]
    etl = parse_etl(build_etl(sorted(some, key=lambda row: row.tick), SESSION))
    (loss,) = Evidence.of(etl).losses
    assert (loss.start, loss.end) == (BEGINNING, 1095)
    later = event("Number", tick=range(1400, 2000))
    assert each(later).satisfies(N=range(9)).on(etl)
    assert str(at_most(90, "Number").on(etl).verdict) == "inconclusive"


def test_a_circular_file_that_wrapped_begins_later_than_its_session() -> None:
    mode = MODE_CIRCULAR | MODE_KB_SIZES
    etl = parse_etl(build_etl(rows(900), replace(SESSION, mode=mode, maximum_file_size=16)))
    evidence, there = Evidence.of(etl), numbers(etl)
    gone = [row for row in rows(900) if row.values["N"] not in there]
    assert len(gone) > 300
    assert all(covered(evidence.losses, row.tick, row.cpu) for row in gone)
    last = event("Number", N=899)
    assert str(each(last).preceded_by(event("Number", N=0)).on(etl).verdict) == "inconclusive"
    assert each(last).preceded_by(event("Number", N=890)).on(etl)


def test_an_event_that_cannot_be_decoded_is_as_good_as_lost_where_its_fields_matter() -> None:
    data = bytearray(build_etl(rows(30, 1), replace(SESSION, buffer_size=65_536)))
    at = data.find("xxxxxxxxx\0".encode("utf-16-le"), 65_536)
    # Without its end the text is longer than the event.
    data[at + 18 : at + 20] = b"x\0"
    etl = parse_etl(bytes(data))
    (bad,) = [row for row in range(len(etl.events)) if etl.events.row(row)["fields"] is None and row]
    assert Evidence.of(etl).losses == ()
    answer = never(event("Number", N=77)).on(etl)
    assert str(answer.verdict) == "inconclusive"
    assert f"a Number could not be decoded (at {int(etl.events.ns[bad]) / 1000:,.1f} us)" in answer.message
    assert at_most(30, "Number").on(etl), "its name is known"
    near = event("Number", N=int(numbers(etl)[20][0] and 20))
    assert each(near).followed_by(event("Number", N=22)).on(etl)
    assert str(never(event("Number", N=77)).between(near, event("Number", N=22)).on(etl).verdict) == "pass"


@pytest.mark.skipif(samples_folder() is None, reason="the real samples are not here")
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("tl-amsi-lost3.etl", {"the file header counts 3 lost events"}),
        ("manifest-win7-kernel-process.etl", {"buffer"}),
        ("kernel-clr-compressed-8cpu.etl", set()),
        ("diaghub-user-tl-stacks-4cpu.etl", set()),
    ],
)
def test_real_traces_miss_what_they_say_and_no_more(name: str, what: set[str]) -> None:
    folder = samples_folder()
    assert folder is not None
    etl = parse_etl((folder / name).read_bytes())
    evidence = Evidence.of(etl)
    assert bool(evidence.losses) == bool(what)
    for loss in evidence.losses:
        assert any(text in loss.what for text in what)
    if what == {"buffer"}:
        assert sum(loss.end - loss.start for loss in evidence.losses) < (evidence.end - evidence.start)
