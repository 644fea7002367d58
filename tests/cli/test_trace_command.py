"""`hotswap trace`: its numbers are those of the file, and bad input is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import called, on_terminal

from hotswap.cli.main import run
from hotswap.trace.compression import Compression
from hotswap.trace.schema import EventSchema, Field, InType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

PROVIDER = Provider.named("HotSwap.Tests")
NUMBER = EventSchema("Number", (Field("Value", InType.UINT64),))
OTHER = EventSchema("Other \x1b[31m")
FIRST = 2**62  # so that the sum of all ticks wraps
SESSION = Session(
    name="made up", first_tick=FIRST, buffer_size=2048, processors=2, events_lost=4, buffers_lost=2, gap_before=3
)
DESIGN_KEYS = {
    *("events", "buffers", "events_lost", "buffers_lost", "missing_sequence_numbers"),
    *("timestamp_sum", "file_order_inversions", "kinds", "problems"),
}


def rows(count: int) -> list[EventRow]:
    return [
        EventRow(FIRST + i, i % 2, 1, 2, PROVIDER, NUMBER if i % 10 else OTHER, {"Value": i} if i % 10 else {})
        for i in range(count)
    ]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "made up.etl"
    path.write_bytes(build_etl(rows(200), SESSION))
    return path


def info(path: Path, runs: Path) -> dict[str, Any]:
    done = called("trace", "info", path, "--json", runs=runs)
    assert (done.code, done.err) == (0, "")
    content = json.loads(done.out)
    assert isinstance(content, dict)
    return content


def test_the_numbers_are_those_that_were_written(trace: Path, runs: Path) -> None:
    content = info(trace, runs)
    assert set(content) >= DESIGN_KEYS
    assert (content["events"], content["events_lost"], content["buffers_lost"]) == (201, 4, 2)
    assert content["missing_sequence_numbers"] == 1
    assert content["timestamp_sum"] == (FIRST + sum(range(FIRST, FIRST + 200))) % 2**64
    assert content["buffers"] == trace.stat().st_size // 2048
    assert content["file_order_inversions"] > 0
    assert content["problems"] == []
    guid = str(PROVIDER.guid)
    assert content["kinds"] == [
        {"header": "EVENT64", "provider": guid, "key": "TL:HotSwap.Tests/Number", "n": 180},
        {"header": "EVENT64", "provider": guid, "key": f"TL:HotSwap.Tests/{OTHER.name}", "n": 20},
        {"header": "SYSTEM64", "provider": "kernel", "key": "hook=0x0000 v=2", "n": 1},
    ]


@pytest.mark.parametrize("compression", list(Compression))
def test_a_compressed_trace_has_the_same_numbers(
    trace: Path, runs: Path, tmp_path: Path, compression: Compression
) -> None:
    path = tmp_path / "compressed.etl"
    session = Session(**{**{name: getattr(SESSION, name) for name in SESSION.__slots__}, "compression": compression})
    path.write_bytes(build_etl(rows(200), session))
    plain, compressed = info(trace, runs), info(path, runs)
    assert compressed["compressed_buffers"] == compressed["buffers"] - 1
    assert {key: compressed[key] for key in DESIGN_KEYS} == {key: plain[key] for key in DESIGN_KEYS}


def test_text_tells_session_clock_loss_and_kinds(trace: Path, runs: Path) -> None:
    done = called("trace", "info", trace, runs=runs)
    assert (done.code, done.err) == (0, "")
    assert "session  made up, closed" in done.out
    assert "clock    performance counter, 10000000 ticks a second" in done.out
    assert "lost     4 events lost (file header), 2 buffers lost (file header), 1 buffer sequence" in done.out
    assert "events   201 on 2 CPUs" in done.out
    assert "      180  EVENT64     HotSwap.Tests/Number\n" in done.out
    assert "\x1b" not in done.out  # whatever the traced driver calls its events
    few = called("trace", "info", trace, "--limit", "1", runs=runs)
    assert "… and 21 events of 2 more kinds; --limit 0 shows all" in few.out


def test_loss_and_damage_are_seen_on_a_terminal(trace: Path, runs: Path) -> None:
    data = bytearray(trace.read_bytes())
    data[2 * 2048 : 2 * 2048 + 72] = b"\x5a" * 72
    trace.write_bytes(data)
    shown = on_terminal(["trace", "info", str(trace)], runs, {})
    assert "\x1b[1;33mlost" in shown
    assert "\x1b[1;31mproblem  bad-buffer at byte 4096" in shown


def test_json_goes_where_it_is_asked_to(trace: Path, runs: Path, tmp_path: Path) -> None:
    """With one name only it is the trace's, also behind --json: the form that the design gives."""
    target = tmp_path / "info.json"
    to_file = called("trace", "info", trace, "--json", target, runs=runs)
    assert to_file.code == 0
    assert "session  made up" in to_file.out
    before = called("trace", "info", "--json", trace, runs=runs)
    assert json.loads(before.out) == json.loads(target.read_text()) == info(trace, runs)


def test_the_trace_is_never_written_over(trace: Path, runs: Path) -> None:
    content = trace.read_bytes()
    done = called("trace", "info", trace, "--json", trace, runs=runs)
    assert done.code == 2
    assert "is the trace itself" in done.complaint()
    assert trace.read_bytes() == content


def test_bad_input_is_one_line(trace: Path, runs: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.etl"
    text.write_text("no trace\n" * 100)
    empty = tmp_path / "empty.etl"
    empty.touch()
    for arguments, complaint in (
        ([text], "not an ETL file"),
        ([empty], "not an ETL file (0 bytes)"),
        ([tmp_path], "Is a directory"),
        ([tmp_path / "none.etl"], "No such file"),
        ([], "FILE is missing"),
        (["--json"], "FILE is missing"),
        ([trace, "--limit", "-1"], "--limit"),
        ([trace, "--json", tmp_path / "no" / "where.json"], "cannot be written"),
    ):
        done = called("trace", "info", *arguments, runs=runs)
        assert (done.code, done.out) == (2, ""), arguments
        assert complaint in done.complaint(), arguments


def test_content_without_an_event_is_bad_input(trace: Path, runs: Path) -> None:
    data = bytearray(trace.read_bytes())
    for start in range(2048, len(data), 2048):
        data[start + 72 : start + 76] = bytes(4)
    trace.write_bytes(data)
    done = called("trace", "info", trace, "--json", runs=runs)
    assert done.code == 2
    assert "no event but the file header" in done.complaint()
    assert "no-events" in {problem["code"] for problem in json.loads(done.out)["problems"]}


@pytest.mark.parametrize(
    "command",
    [
        ["show", "FILE"],
        ["stats", "FILE"],
        ["export", "FILE", "FOLDER/out.csv"],
        ["sql", "FILE", "select 1"],
        ["diff", "FILE", "FILE"],
        ["report", "FILE"],
        ["check", "FOLDER/rules.py", "FILE"],
    ],
)
def test_no_command_answers_from_content_without_an_event(
    trace: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(trace.read_bytes())
    for start in range(2048, len(data), 2048):
        data[start + 72 : start + 76] = bytes(4)
    trace.write_bytes(data)
    (tmp_path / "rules.py").write_text("from hotswap.trace.rules import event, never\nnone = never(event('Number'))\n")
    before = sorted(tmp_path.iterdir())
    arguments = [part.replace("FILE", str(trace)).replace("FOLDER", str(tmp_path)) for part in command]
    assert run(["trace", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no event but the file header" in shown.err
    assert sorted(tmp_path.iterdir()) == before


def test_help_needs_no_reader(runs: Path) -> None:
    script = (
        "import sys; from hotswap.cli.main import run; code = run(['trace', 'info', '--help']);"
        "print([name for name in sys.modules if name in ('numpy', 'pyarrow', 'hotswap.trace.etl')]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "HOTSWAP_RUNS": str(runs)}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"
