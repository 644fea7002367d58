"""`hotswap trace show|stats|export|sql` as their users drive them; what they write is read by other programs."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import called, hotswap, on_terminal
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from hotswap.trace.etl import read_etl
from hotswap.trace.lines import EventLines, LineFormat
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
    assert head.split() == ["us", "+us", "pid", "tid", "cpu", "event"]
    assert len(shown) == 91
    assert "EventTrace" in shown[0]
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
        (["-w", "Status=STATUS_UNSUCCESSFUL"], 1),
        (["-w", "Status!=STATUS_UNSUCCESSFUL"], 59),
        (["-w", "Raw=01ff"], 60),
        (["-w", "Worker=0", "-w", "Status!=0"], 1),
        (["-w", "Load>=10"], 20),
        (["-w", "Load<1.5"], 1),
        (["-w", "Name=näme 1"], 20),
        (["-w", "Name!=näme 1"], 40),
        (["--limit", "5"], 6),
    ],
)
def test_what_is_chosen_is_shown(trace: Path, runs: Path, options: list[str], count: int) -> None:
    done = called("trace", "show", trace, *options, runs=runs)
    assert done.code == 0
    assert len(lines(done.out)) == count + 1


def test_fields_have_columns_of_their_own(trace: Path, runs: Path) -> None:
    done = called(
        "trace", "show", trace, "--fields", "Worker,Load", "-f", "Name", "--head", "3", "-e", "[WT]*", runs=runs
    )
    head, *shown, more = lines(done.out)
    assert head.split()[-4:] == ["event", "Worker", "Load", "Name"]
    at = [head.index(name) for name in ("event", "Worker", "Load", "Name")]
    cells = [[line[a:b].strip() for a, b in zip(at, [*at[1:], None], strict=True)] for line in shown]
    assert cells == [["Work", "0", "-", "näme 0"], ["Work", "1", "-", "näme 1"], ["Tick", "-", "0.5", "-"]]
    assert more == "… and 87 more; --head 0 shows all"
    wrong = called("trace", "show", trace, "-f", "Wroker", runs=runs)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.complaint().startswith("--fields: the trace has no field 'Wroker' (did you mean Worker?)")


def test_head_and_tail_are_the_ends(trace: Path, runs: Path) -> None:
    everything = lines(called("trace", "show", trace, runs=runs).out)
    assert lines(called("trace", "show", trace, "--head", "0", runs=runs).out) == everything
    assert lines(called("trace", "show", trace, "--head", "5", runs=runs).out)[1:6] == everything[1:6]
    tail = lines(called("trace", "show", trace, "--tail", "5", runs=runs).out)
    assert [re.split(r" {2,}", line)[-2:] for line in tail[2:6]] == [
        re.split(r" {2,}", e)[-2:] for e in everything[-4:]
    ]
    assert tail[6:] == ["… and 86 before; --head 0 shows all"]
    both = called("trace", "show", trace, "--tail", "5", "--head", "5", runs=runs)
    assert (both.code, both.complaint()) == (2, "--head and --tail: give one of them")


def test_json_lines_are_the_rows(trace: Path, runs: Path, tmp_path: Path) -> None:
    done = called("trace", "show", trace, "-w", "Worker=1", "--json", runs=runs)
    rows = [json.loads(line) for line in lines(done.out)]
    assert [row["fields"]["Worker"] for row in rows] == [1] * 20
    assert rows[0]["fields"]["Raw"] == "01ff"
    out = tmp_path / "rows.jsonl"
    done = called("trace", "show", trace, "--tail", "2", "--json", out, "-f", "Load", runs=runs)
    assert "Load" in lines(done.out)[0], "and to the terminal, too"
    assert [json.loads(line)["fields"] for line in lines(out.read_text())] == [{}, {"Load": 29.5}]


def test_long_values_are_cut_with_a_mark_unless_all_is_asked_for(tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "long.etl"
    text = "x" * 200
    values = {"Worker": 1, "Status": 0, "Name": text, "Raw": b""}
    path.write_bytes(build_etl([EventRow(1000, 0, 1, 1, MINE, WORK, values)]))
    done = called("trace", "show", path, runs=runs)
    assert f"Name={'x' * 59}… Raw=" in done.out
    assert text in called("trace", "show", path, "--full", runs=runs).out
    asked = called("trace", "sql", path, "select Name from events where Name is not null", runs=runs)
    assert lines(asked.out)[1] == "x" * 59 + "…"


def test_many_events_are_written_as_few_are(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = read_etl(trace).events
    rows = np.arange(len(table))
    for how in (LineFormat(), LineFormat(("Status", "Load"), whole=True)):
        one_by_one = [list(line) for line in EventLines(table, rows, how).lines()]
        monkeypatch.setattr("hotswap.trace.lines._FEW", 10)
        assert [list(line) for line in EventLines(table, rows, how).lines()] == one_by_one
        monkeypatch.undo()


def test_colours_are_for_terminals_or_asked_for(trace: Path, runs: Path) -> None:
    assert "\x1b" not in called("trace", "show", trace, runs=runs).out
    assert "\x1b[1mWork" in called("trace", "show", trace, "--color", runs=runs, env={"NO_COLOR": "1"}).out
    assert "\x1b[1mWork" in on_terminal(["trace", "show", str(trace)], runs, {})
    assert "\x1b" not in on_terminal(["trace", "show", str(trace), "-q"], runs, {"NO_COLOR": "1"})
    assert "\x1b" not in on_terminal(["trace", "show", str(trace), "--no-color", "-q"], runs, {})


@pytest.mark.parametrize("command", [["show", "--head", "0"], ["show", "--json"], ["stats"], ["sql", "--csv"]])
def test_a_reader_that_goes_away_is_no_error(trace: Path, runs: Path, command: list[str]) -> None:
    name, *options = command
    query = ["select * from events"] if name == "sql" else []
    arguments = [sys.executable, "-m", "hotswap", "trace", name, str(trace), *query, *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-e", "Wrok"], "the trace has no event 'Wrok' (did you mean Work?); it has: EventTrace, Tick, Work"),
        (["-p", "Nobody"], "the trace has no provider 'Nobody'"),
        (["-w", "Wroker=1"], "the trace has no field 'Wroker' (did you mean Worker?)"),
        (["-w", "Worker"], "the condition 'Worker' is not FIELD OPERATOR VALUE; operators are !=, >=, <=, =, >, <"),
        (["--limit", "-1"], "--limit is -1; it must not be negative"),
        (["--tail", "-1"], "--tail is -1; it must not be negative"),
    ],
)
def test_what_the_trace_does_not_have_is_one_line(trace: Path, runs: Path, options: list[str], says: str) -> None:
    done = called("trace", "show", trace, *options, runs=runs)
    assert done.code == 2
    assert says in done.err
    assert len(lines(done.err)) == 1
    assert done.out == ""


def test_a_text_of_the_trace_does_not_steer_the_terminal(tmp_path: Path, runs: Path) -> None:
    path = tmp_path / "evil.etl"
    evil = {"Worker": 1, "Status": 0, "Name": "\x1b[31mred\nline", "Raw": b""}
    path.write_bytes(build_etl([EventRow(1000, 0, 1, 1, MINE, WORK, evil)]))
    done = called("trace", "show", path, runs=runs)
    assert "\x1b" not in done.out
    assert len(lines(done.out)) == 3


def test_counts_by_event_and_by_thread(trace: Path, runs: Path) -> None:
    done = called("trace", "stats", trace, "--json", "-", runs=runs)
    rows = json.loads(done.out)["rows"]
    assert [(row["key"], row["events"]) for row in rows] == [
        ("HotSwap.Tests/Work", 60),
        ("Somebody.Else/Tick", 30),
        ("Windows Kernel/EventTrace", 1),
    ]
    assert rows[0]["first"] == 0
    assert rows[0]["last"] == pytest.approx(0.59)
    assert rows[0]["per_second"] == pytest.approx(100)
    assert rows[1]["payload_bytes"] == 30 * 8
    threads = json.loads(called("trace", "stats", trace, "--by", "thread", "--json", "-", runs=runs).out)["rows"]
    assert [(row["key"], row["events"]) for row in threads] == [
        ("8/200", 30),
        ("7/100", 20),
        ("7/101", 20),
        ("7/102", 20),
        ("0/0", 1),
    ]
    printed = called("trace", "stats", trace, "--by", "cpu", runs=runs)
    assert [re.split(r"\s+", line.strip())[0] for line in lines(printed.out)[1:]] == ["61", "30"]
    assert called("trace", "stats", trace, "--by", "colour", runs=runs).code == 2


def test_counts_by_a_field(trace: Path, runs: Path) -> None:
    rows = json.loads(called("trace", "stats", trace, "--by", "status", "--json", runs=runs).out)["rows"]
    assert [(row["key"], row["events"]) for row in rows] == [("STATUS_SUCCESS", 59), ("STATUS_UNSUCCESSFUL", 1)]
    wrong = called("trace", "stats", trace, "--by", "colour", runs=runs)
    assert (wrong.code, wrong.out) == (2, "")
    assert "--by: the trace has no field 'colour'" in wrong.complaint()


def test_the_time_between_two_events_is_measured_per_key(tmp_path: Path, runs: Path) -> None:
    begin, end = (EventSchema(name, (Field("Worker", InType.UINT32),)) for name in ("Begin", "End"))
    rows, expected = [], {1: [], 2: []}
    for i in range(50):
        for worker, distance in ((1, 40 + i), (2, 5000)):
            at = 1000 + 100_000 * i + worker
            rows += [EventRow(at, 0, 1, worker, MINE, begin, {"Worker": worker})]
            rows += [EventRow(at + distance, 0, 1, worker, MINE, end, {"Worker": worker})]
            expected[worker].append(distance / 10)
    rows += [EventRow(9_000_000, 0, 1, 1, MINE, begin, {"Worker": 1}), EventRow(10, 0, 1, 1, MINE, end, {"Worker": 1})]
    path = tmp_path / "pairs.etl"
    path.write_bytes(build_etl(sorted(rows, key=lambda row: row.tick)))
    command = ["trace", "stats", path, "--between", "Begin", "End", "--per", "Worker"]
    told = json.loads(called(*command, "--json", runs=runs).out)
    assert (told["without_second"], told["without_first"]) == (1, 1)
    assert told["all"]["count"] == 100 == sum(item["count"] for item in told["histogram"])
    assert [item["key"] for item in told["keys"]] == ["Worker 2", "Worker 1"], "the slowest first"
    assert told["keys"][0] == {"key": "Worker 2", "count": 50} | dict.fromkeys(
        ("mean_us", "min_us", "p50_us", "p90_us", "p99_us", "max_us"), 500.0
    )
    assert told["keys"][1]["max_us"] == max(expected[1])
    assert told["keys"][1]["p50_us"] == pytest.approx(np.median(expected[1]))
    printed = called(*command, runs=runs)
    assert (printed.code, printed.err) == (0, "")
    assert "from Begin to End per Worker" in printed.out
    assert "1 Begin without a End" in printed.out
    assert re.search(r"^ +500 us to +1 ms +50 █{40}$", printed.out, re.MULTILINE)
    again = ["--between", "Begin", "Begin", "--per", "Worker", "--json"]
    told = json.loads(called("trace", "stats", path, *again, runs=runs).out)
    assert told["all"]["count"] == 2 * 49 + 1
    assert told["all"]["p50_us"] == 10_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--between", "Work", "Nothing"], "the trace has no event 'Nothing'"),
        (["--between", "Work", "W*"], "--between: Work and W* are both names of the same events"),
        (["--between", "Work", "Tick", "--per", "Worker"], "--per: the trace has no field 'Worker'"),
        (["--between", "Tick", "Work", "--after", "0.585"], "--between: no Tick is followed by a Work"),
        (["--per", "Worker"], "--per Worker: it goes with --between"),
        (["--between", "Work"], "--between"),
        (["--limit", "-1"], "--limit is -1; it must not be negative"),
    ],
)
def test_what_cannot_be_measured_is_one_line(trace: Path, runs: Path, options: list[str], says: str) -> None:
    done = called("trace", "stats", trace, *options, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert says in done.complaint()


def test_exports_hold_the_events(trace: Path, runs: Path, tmp_path: Path) -> None:
    for name in ("out.parquet", "out.arrow", "out.csv", "out.jsonl"):
        done = called("trace", "export", trace, tmp_path / name, "-e", "Work", runs=runs)
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
    done = called("trace", "export", trace, trace, "--format", "csv", runs=runs)
    assert done.code == 2
    assert "is the trace itself" in done.err
    assert trace.read_bytes() == before
    unknown = called("trace", "export", trace, tmp_path / "out.xyz", runs=runs)
    assert unknown.code == 2
    assert "ends in .parquet, .arrow, .csv, .jsonl, .perfetto-trace, .pftrace, .json, or --format" in unknown.err
    wrong = called("trace", "export", trace, tmp_path / "out.csv", "--format", "xls", runs=runs)
    assert (wrong.code, wrong.complaint().split(":")[0]) == (2, "--format xls")


def test_timelines_are_written_for_perfetto_and_chrome(trace: Path, runs: Path, tmp_path: Path) -> None:
    for name in ("out.perfetto-trace", "out.pftrace", "out.json"):
        done = called("trace", "export", trace, tmp_path / name, "--pair", "Work:Tick", runs=runs)
        assert (done.code, done.out) == (0, f"90 events in {tmp_path / name}\n"), done.err
    told = Trace()
    told.ParseFromString((tmp_path / "out.pftrace").read_bytes())
    assert (tmp_path / "out.pftrace").read_bytes() == (tmp_path / "out.perfetto-trace").read_bytes()
    events = [packet.track_event.type for packet in told.packet if packet.HasField("track_event")]
    assert (len(events), events.count(TrackEvent.TYPE_SLICE_BEGIN)) == (150, 30)
    chrome = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
    assert sorted({event["ph"] for event in chrome}) == ["b", "e", "i"]
    assert next(event["args"] for event in chrome if event["name"] == "Work") == {
        "Worker": 0, "Status": "STATUS_SUCCESS", "Name": "näme 0", "Raw": "01ff",
    }  # fmt: skip
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [
        ".etl", ".json", ".perfetto-trace", ".pftrace",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "pair", "says"),
    [
        ("out.csv", "Work:Tick", "--pair Work:Tick: it is for perfetto and chrome, not for csv"),
        ("out.json", "Work", "the pair 'Work' is not BEGIN:END or BEGIN:END:FIELD,..."),
        ("out.json", "Work:Tock", "the trace has no event 'Tock' (did you mean Tick?)"),
        ("out.json", "Work:Tick:Worker", "--pair: the trace has no field 'Worker'"),
    ],
)
def test_a_pair_that_cannot_be_drawn_is_one_line(
    trace: Path, runs: Path, tmp_path: Path, name: str, pair: str, says: str
) -> None:
    done = called("trace", "export", trace, tmp_path / name, "--pair", pair, runs=runs)
    assert (done.code, done.out) == (2, "")
    assert says in done.complaint()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["trace.etl"]


def test_sql_answers_and_reaches_no_other_file(trace: Path, runs: Path, tmp_path: Path) -> None:
    query = "select event, count(*) as n, max(Load) as load from events where row > 0 group by event order by n desc"
    done = called("trace", "sql", trace, query, runs=runs)
    assert done.code == 0, done.err
    assert [line.split() for line in lines(done.out)] == [
        ["event", "n", "load"],
        ["Work", "60"],
        ["Tick", "30", "29.5"],
    ]
    answer = json.loads(called("trace", "sql", trace, query, "--json", "-", runs=runs).out)
    assert answer["rows"] == [["Work", 60, None], ["Tick", 30, 29.5]]
    comma = called("trace", "sql", trace, query, "--csv", runs=runs)
    assert list(csv.reader(lines(comma.out))) == [["event", "n", "load"], ["Work", "60", ""], ["Tick", "30", "29.5"]]
    whole = "select * from events where event = 'Work' order by row limit 2"
    rows = json.loads(called("trace", "sql", trace, whole, "--json", runs=runs).out)
    second = dict(zip(rows["columns"], rows["rows"][1], strict=True))
    assert (second["tick"], second["ns"], second["Name"], second["Raw"]) == (101_000, 10_000_000, "näme 1", "01ff")
    assert second["time"] == "2024-12-30 02:40:00.010000000", "with all digits"
    assert json.loads(called("trace", "sql", trace, "select sum(Worker) from events", "--json", runs=runs).out)[
        "rows"
    ] == [[60]]
    both = called("trace", "sql", trace, query, "--csv", "--json", runs=runs)
    assert (both.code, both.complaint()) == (2, "--json and --csv cannot both be written to standard output")
    few = lines(called("trace", "sql", trace, "select event from events", "--limit", "2", runs=runs).out)
    assert few == ["event", "EventTrace", "Work", "… and 89 more rows; --limit 0 shows all"]
    wrong = called("trace", "sql", trace, "select Wroker from events", runs=runs)
    assert wrong.code == 2
    assert "the query failed" in wrong.err
    assert len(lines(wrong.err)) == 1
    out = tmp_path / "stolen.csv"
    assert called("trace", "sql", trace, f"copy events to '{out}'", runs=runs).code == 2
    assert called("trace", "sql", trace, "set enable_external_access=true", runs=runs).code == 2
    assert not out.exists()


def test_events_of_the_kernel_are_in_the_table(tmp_path: Path, runs: Path) -> None:
    data = bytearray(build_etl(events(), Session(first_tick=1000)))
    # The first event of the second buffer becomes one of the kernel's: SYSTEM64, size at 4, hook at 6.
    at = data.index(b"\x13\xc0") - 2
    size = int.from_bytes(data[at : at + 2], "little")
    data[at : at + 8] = b"\x02\x00\x02\xc0" + size.to_bytes(2, "little") + b"\x24\x05"
    path = tmp_path / "mixed.etl"
    path.write_bytes(data)
    rows = json.loads(called("trace", "stats", path, "-p", "Windows Kernel", "--json", "-", runs=runs).out)["rows"]
    assert [(row["key"], row["events"]) for row in rows] == [
        ("Windows Kernel/EventTrace", 1),
        ("Windows Kernel/Thread/CSwitch", 1),
    ]
