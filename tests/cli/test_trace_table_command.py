"""`hotswap trace show|stats|export|sql` as their users drive them; what they write is read by other programs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import hotswap

from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

MINE, OTHER = Provider.named("HotSwap.Tests"), Provider.named("Somebody.Else")
WORK = EventSchema(
    "Work",
    (
        Field("Worker", InType.UINT32),
        Field("Status", InType.HEXINT32, OutType.NTSTATUS),
        Field("Name", InType.UNICODESTRING),
        Field("Raw", InType.COUNTEDBINARY),
    ),
)
TICK = EventSchema("Tick", (Field("Load", InType.DOUBLE),))


def events() -> list[EventRow]:
    """60 of Work by workers 0 to 2, one every 10 ms, and a Tick after each second of them."""
    rows = []
    for i in range(60):
        values = {"Worker": i % 3, "Status": 0xC0000001 if i == 30 else 0, "Name": f"näme {i % 3}", "Raw": b"\x01\xff"}
        rows.append(EventRow(1000 + i * 100_000, i % 2, 7, 100 + i % 3, MINE, WORK, values))
        if i % 2:
            rows.append(EventRow(1001 + i * 100_000, 0, 8, 200, OTHER, TICK, {"Load": i / 2}))
    return rows


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.etl"
    path.write_bytes(build_etl(events(), Session(first_tick=1000)))
    return path


def lines(text: str) -> list[str]:
    return text.splitlines()


def test_all_events_are_shown_in_their_order(trace: Path, runs: Path) -> None:
    done = hotswap("trace", "show", trace, runs=runs)
    assert (done.code, done.err) == (0, "")
    head, *shown = lines(done.out)
    assert head.split() == ["us", "+us", "tid", "cpu", "event"]
    assert len(shown) == 91
    assert "hook 0x0000" in shown[0]
    assert "Worker=0 Status=STATUS_SUCCESS Name=näme 0 Raw=01ff" in shown[1]
    times = [float(line.split()[0]) for line in shown]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["-e", "work"], 60),
        (["-e", "W*", "-e", "Tick"], 90),
        (["-p", "somebody.*"], 30),
        (["-p", str(MINE.guid)], 60),
        (["--tid", "101"], 20),
        (["--pid", "8"], 30),
        (["--cpu", "1", "-e", "Work"], 30),
        (["--after", "0.3", "-e", "Work"], 30),
        (["--before", "0.3", "-e", "Work"], 30),
        (["--after", "0.1", "--before", "0.2", "-e", "Work"], 10),
        (["-w", "Worker=2"], 20),
        (["-w", "Worker!=2"], 40),
        (["-w", "Status=0xC0000001"], 1),
        (["-w", "Worker=0", "-w", "Status!=0"], 1),
        (["-w", "Load>=10"], 20),
        (["-w", "Load<1.5"], 1),
        (["-w", "Name=näme 1"], 20),
        (["-w", "Name!=näme 1"], 40),
        (["--limit", "5"], 6),
    ],
)
def test_what_is_chosen_is_shown(trace: Path, runs: Path, options: list[str], count: int) -> None:
    done = hotswap("trace", "show", trace, *options, runs=runs)
    assert done.code == 0
    assert len(lines(done.out)) == count + 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-e", "Wrok"], "the trace has no event 'Wrok' (did you mean Work?); it has: Tick, Work, hook 0x0000"),
        (["-p", "Nobody"], "the trace has no provider 'Nobody'"),
        (["-w", "Wroker=1"], "the trace has no field 'Wroker' (did you mean Worker?)"),
        (["-w", "Worker"], "the condition 'Worker' is not FIELD OPERATOR VALUE; operators are !=, >=, <=, =, >, <"),
        (["--limit", "-1"], "--limit is -1; it must not be negative"),
    ],
)
def test_what_the_trace_does_not_have_is_one_line(trace: Path, runs: Path, options: list[str], says: str) -> None:
    done = hotswap("trace", "show", trace, *options, runs=runs)
    assert done.code == 2
    assert says in done.err
    assert len(lines(done.err)) == 1
    assert done.out == ""


def test_a_text_of_the_trace_does_not_steer_the_terminal(tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "evil.etl"
    evil = {"Worker": 1, "Status": 0, "Name": "\x1b[31mred\nline", "Raw": b""}
    path.write_bytes(build_etl([EventRow(1000, 0, 1, 1, MINE, WORK, evil)]))
    done = hotswap("trace", "show", path, runs=runs)
    assert "\x1b" not in done.out
    assert len(lines(done.out)) == 3


def test_counts_by_event_and_by_thread(trace: Path, runs: Path) -> None:
    done = hotswap("trace", "stats", trace, "--json", "-", runs=runs)
    rows = json.loads(done.out)["rows"]
    assert [(row["key"], row["events"]) for row in rows] == [
        ("HotSwap.Tests/Work", 60),
        ("Somebody.Else/Tick", 30),
        ("kernel/hook 0x0000", 1),
    ]
    assert rows[0]["first"] == 0
    assert rows[0]["last"] == pytest.approx(0.59)
    assert rows[0]["per_second"] == pytest.approx(100)
    assert rows[1]["payload_bytes"] == 30 * 8
    threads = json.loads(hotswap("trace", "stats", trace, "--by", "thread", "--json", "-", runs=runs).out)["rows"]
    assert [(row["key"], row["events"]) for row in threads] == [
        ("8/200", 30),
        ("7/100", 20),
        ("7/101", 20),
        ("7/102", 20),
        ("0/0", 1),
    ]
    printed = hotswap("trace", "stats", trace, "--by", "cpu", runs=runs)
    assert [re.split(r"\s+", line.strip())[0] for line in lines(printed.out)[1:]] == ["61", "30"]
    assert hotswap("trace", "stats", trace, "--by", "colour", runs=runs).code == 2


def test_exports_hold_the_events(trace: Path, runs: Path, tmp_path: Path) -> None:
    for name in ("out.parquet", "out.arrow", "out.csv", "out.jsonl"):
        done = hotswap("trace", "export", trace, tmp_path / name, "-e", "Work", runs=runs)
        assert (done.code, done.out) == (0, f"60 events in {tmp_path / name}\n"), done.err
    tables = [pq.read_table(tmp_path / "out.parquet"), pa.ipc.open_file(tmp_path / "out.arrow").read_all()]
    for table in tables:
        assert table.column("Worker").to_pylist() == [i % 3 for i in range(60)]
        assert table.column("Name").to_pylist()[:2] == ["näme 0", "näme 1"]
        assert table.column("Raw").to_pylist()[0] == b"\x01\xff"
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Worker"] for row in rows] == [str(i % 3) for i in range(60)]
    assert (rows[0]["event"], rows[0]["Raw"], rows[1]["Name"]) == ("Work", "01ff", "näme 1")
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["fields"]["Worker"] for item in objects] == [i % 3 for i in range(60)]
    assert objects[0]["fields"]["Raw"] == "01ff"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        ["out.parquet", "out.arrow", "out.csv", "out.jsonl", "trace.etl"]
    )


def test_an_export_is_never_written_over_the_trace_and_needs_a_format(trace: Path, runs: Path, tmp_path: Path) -> None:
    before = trace.read_bytes()
    done = hotswap("trace", "export", trace, trace, "--format", "csv", runs=runs)
    assert done.code == 2
    assert "is the trace itself" in done.err
    assert trace.read_bytes() == before
    unknown = hotswap("trace", "export", trace, tmp_path / "out.xyz", runs=runs)
    assert unknown.code == 2
    assert "ends in .parquet, .arrow, .csv, .jsonl, or --format" in unknown.err


def test_sql_answers_and_reaches_no_other_file(trace: Path, runs: Path, tmp_path: Path) -> None:
    query = "select event, count(*) as n, max(Load) as load from events where row > 0 group by event order by n desc"
    done = hotswap("trace", "sql", trace, query, runs=runs)
    assert done.code == 0, done.err
    assert [line.split() for line in lines(done.out)] == [
        ["event", "n", "load"],
        ["Work", "60"],
        ["Tick", "30", "29.5"],
    ]
    answer = json.loads(hotswap("trace", "sql", trace, query, "--json", "-", runs=runs).out)
    assert answer["rows"] == [["Work", 60, None], ["Tick", 30, 29.5]]
    wrong = hotswap("trace", "sql", trace, "select Wroker from events", runs=runs)
    assert wrong.code == 2
    assert "the query failed" in wrong.err
    assert len(lines(wrong.err)) == 1
    out = tmp_path / "stolen.csv"
    assert hotswap("trace", "sql", trace, f"copy events to '{out}'", runs=runs).code == 2
    assert hotswap("trace", "sql", trace, "set enable_external_access=true", runs=runs).code == 2
    assert not out.exists()


def test_events_of_the_kernel_are_in_the_table(tmp_path: Path, runs: Path) -> None:
    data = bytearray(build_etl(events(), Session(first_tick=1000)))
    # The first event of the second buffer becomes one of the kernel's: SYSTEM64, size at 4, hook at 6.
    at = data.index(b"\x13\xc0") - 2
    size = int.from_bytes(data[at : at + 2], "little")
    data[at : at + 8] = b"\x02\x00\x02\xc0" + size.to_bytes(2, "little") + b"\x24\x05"
    path = tmp_path / "mixed.etl"
    path.write_bytes(data)
    rows = json.loads(hotswap("trace", "stats", path, "-e", "hook*", "--json", "-", runs=runs).out)["rows"]
    assert [(row["key"], row["events"]) for row in rows] == [("kernel/hook 0x0000", 1), ("kernel/hook 0x0524", 1)]
