"""`hotswap trace show|check --follow`: events as they are written, and the first failure before the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from command import hotswap

from hotswap.trace.writer import EtlWriter, EventRow, Session, write_etl
from support.etl_rows import COUNT, PROVIDER, SESSION

RULES = """
from hotswap.trace.rules import event, increasing, never
in_order = increasing(event("Count")["Value"])
no_five_hundred = never(event("Count", Value=500))
"""


def rows(first: int, last: int) -> list[EventRow]:
    return [EventRow(1000 + i, i % 2, 7, 8, PROVIDER, COUNT, {"Value": i, "Text": "t"}) for i in range(first, last)]


SMALL = Session(buffer_size=2048, processors=2, flush_every=10)


@contextmanager
def started(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    command = [sys.executable, "-m", "hotswap", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        yield process, process.stdout
        assert process.wait(60) is not None
    finally:
        process.kill()
        process.communicate()


def test_events_are_shown_as_they_are_written(tmp_path: Path) -> None:
    """The first ones are there before the last ones are written."""
    path = tmp_path / "growing.etl"
    with started("trace", "show", path, "--follow", "--json", "-", "-w", "Value>=10") as (process, out):
        with path.open("w+b", buffering=0) as stream, EtlWriter(stream, SMALL) as writer:
            writer.write(rows(0, 400))
            seen = [json.loads(out.readline()) for _ in range(100)]
            writer.write(rows(400, 600))
        seen += [json.loads(line) for line in out]
    assert process.returncode == 0
    assert [event["fields"]["Value"] for event in seen] == list(range(10, 600))


def test_lines_have_one_head_and_stop_at_the_wanted_number(tmp_path: Path) -> None:
    write_etl(tmp_path / "done.etl", rows(0, 300), SESSION)
    done = hotswap("trace", "show", tmp_path / "done.etl", "--follow", "--head", "25", "-e", "Count", runs=tmp_path)
    head, *lines = done.out.splitlines()
    assert (done.code, len(lines)) == (0, 25)
    assert "event" in head
    assert "Value=24" in lines[-1]


def test_a_time_limit_ends_it_without_a_fault(tmp_path: Path) -> None:
    write_etl(tmp_path / "open.etl", rows(0, 300), replace(SMALL, closed=False))
    done = hotswap("trace", "show", tmp_path / "open.etl", "--follow", "--for", "0.5", runs=tmp_path)
    assert done.code == 0
    assert len(done.out.splitlines()) > 100


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


def test_the_first_failure_ends_a_check_before_the_trace_ends(tmp_path: Path, rules: Path) -> None:
    path = tmp_path / "growing.etl"
    with (
        started("trace", "check", rules, path, "--follow", "--json", "-", "--svg", tmp_path / "svg") as (process, out),
        path.open("w+b", buffering=0) as stream,
        EtlWriter(stream, SMALL) as writer,
    ):
        writer.write(rows(0, 900))
        answer = json.loads(out.read())
        assert process.wait(60) == 1
    assert answer["verdict"] == "fail"
    assert [result["id"] for result in answer["results"]] == ["no-five-hundred"]
    assert answer["results"][0]["slice"][0]["fields"]["Value"] == 500
    assert answer["missing"] == ["the trace is still being written"]
    assert (tmp_path / "svg" / "no-five-hundred.svg").is_file()


def test_a_trace_without_a_failure_is_judged_at_its_end(tmp_path: Path, rules: Path) -> None:
    write_etl(tmp_path / "good.etl", rows(0, 400), SESSION)
    done = hotswap("trace", "check", rules, tmp_path / "good.etl", "--follow", runs=tmp_path)
    assert (done.code, done.out.splitlines()[-1]) == (0, "pass: all 2 rules hold")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "x.etl", "--for", "1"), "--for is for --follow"),
        (("show", "x.etl", "--follow", "--for", "0"), "must be more than 0"),
        (("show", "x.etl", "--follow", "--tail", "3"), "--tail is for a trace that is complete"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = hotswap("trace", *arguments, runs=tmp_path)
    assert done.code == 2
    assert words in done.err


def test_what_is_no_trace_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.etl").write_bytes(b"MZ" * 5000)
    done = hotswap("trace", "show", tmp_path / "x.etl", "--follow", runs=tmp_path)
    assert done.code == 2
    assert "not an ETL file" in done.err
    assert len(done.err.splitlines()) == 1
