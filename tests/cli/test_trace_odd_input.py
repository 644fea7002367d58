"""Input to `hotswap trace` that nobody meant: one line, exit code 2, and nothing written or replaced."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hotswap.cli.main import run
from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, Session, build_etl

WORK = EventSchema(
    "Work",
    (
        Field("Worker", InType.UINT32),
        Field("Status", InType.HEXINT32, OutType.NTSTATUS),
        Field("Done", InType.BOOL32),
        Field("Load", InType.DOUBLE),
        Field("Name", InType.UNICODESTRING),
    ),
)
OTHER = EventSchema("Other", (Field("Name", InType.UINT32),))
RULES = "from hotswap.trace.rules import never\nnone = never('Nothing')\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    provider, path = Provider.named("HotSwap.Tests"), tmp_path / "trace.etl"
    values = {"Worker": 1, "Status": 0x102, "Done": 1, "Load": 0.5, "Name": "one"}
    rows = [EventRow(1000 + i, 0, 1, 2, provider, WORK, values) for i in range(100)]
    rows.append(EventRow(2000, 0, 1, 2, provider, OTHER, {"Name": 7}))
    path.write_bytes(build_etl(rows, Session(first_tick=1000)))
    (tmp_path / "rules.py").write_text(RULES)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What is said of arguments that are refused."""
    assert run(["trace", *map(str, arguments)]) == 2, arguments
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line.removeprefix("hotswap: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "FILE", "--after", "nan"], "--after is nan; give seconds since the session started"),
        (["show", "FILE", "--after", "-inf"], "--after is -inf; give seconds since the session started"),
        (["stats", "FILE", "--before", "1e300"], "--before is 1e+300; give seconds since the session started"),
        (["show", "FILE", "--follow", "--for", "nan"], "--for is nan; it must be more than 0 and no more than a year"),
        (["show", "FILE", "--follow", "--for", "1e99"], "--for is 1e+99; it must be more than 0"),
        (["stats", "FILE", "--by", ""], "'' is no key: give a field, several with commas, or thread, process, cpu"),
        (["stats", "FILE", "--between", "Work", "Other", "--per", "Worker,"], "'Worker,' is no key: give a field"),
        (["sql", "FILE", ""], "the query '' asks for nothing; try: select * from events limit 10"),
        (["sql", "FILE", "/* none */"], "the query '/* none */' asks for nothing"),
        (["check", "FOLDER/rules.py", "FILE", "--svg", "FOLDER/rules.py"], "rules.py is a file; give a folder"),
        (["show", "FILE", "-w", "Worker=two"], "the condition Worker=two: it is a number, and 'two' is none"),
        (["show", "FILE", "-w", "Load!=half"], "the condition Load!=half: it is a number, and 'half' is none"),
        (
            ["show", "FILE", "-w", "Status=STATUS_TIMOUT"],
            "the condition Status=STATUS_TIMOUT: 'STATUS_TIMOUT' is no NTSTATUS known by this name",
        ),
    ],
)
def test_values_that_mean_nothing_are_refused(
    trace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    given = [part.replace("FILE", str(trace)).replace("FOLDER", str(trace.parent)) for part in arguments]
    assert says in refused(capsys, *given)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("Status=STATUS_TIMEOUT", 100),
        ("Done=true", 100),
        ("Name=one", 100),
        ("Name=7", 1),
        ("Name!=one", 1),
        ("Worker<two", 0),
        ("Load=inf", 0),
        (f"Worker<1{'0' * 400}", 100),
        (f"Load<1{'0' * 400}", 100),
        (f"Load=-1{'0' * 400}", 0),
    ],
)
def test_what_a_field_can_be_is_looked_for(
    trace: Path, capsys: pytest.CaptureFixture[str], condition: str, count: int
) -> None:
    """A text is no number, but a field of this name is a text in other events."""
    assert run(["trace", "show", str(trace), "-w", condition, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == count


def test_a_device_is_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "info", "/dev/zero") == "reading /dev/zero: it is a device, not a file"


def test_a_trace_is_read_from_a_pipe(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["cat", trace], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert run(["trace", "stats", f"/proc/self/fd/{process.stdout.fileno()}"]) == 0
    assert "HotSwap.Tests/Work" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "perfetto", "chrome"])
def test_an_export_goes_to_a_file_only(trace: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    before = sorted(trace.parent.iterdir())
    (trace.parent / "folder").mkdir()
    how = ["--format", kind]
    assert refused(capsys, "export", trace, trace.parent / "folder", *how).endswith("is a folder; give a file to write")
    where = trace.parent / "none" / "out"
    assert refused(capsys, "export", trace, where, *how) == f"{where} cannot be written: No such file or directory"
    (trace.parent / "folder").rmdir()
    assert sorted(trace.parent.iterdir()) == before


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "jsonl", "perfetto", "chrome"])
def test_a_device_is_written_to_and_never_replaced(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """By a link, so that a mistake here does not cost the computer its device."""
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    assert run(["trace", "export", str(trace), str(link), "--format", kind]) == 4
    assert capsys.readouterr().err == f"hotswap: writing {link}: No space left on device\n"
    assert link.is_symlink()
    assert stat.S_ISCHR(link.stat().st_mode)


def test_what_a_link_points_to_is_replaced_not_the_link(trace: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("before")
    link.symlink_to(target.name)
    assert run(["trace", "export", str(trace), str(link)]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith('"row"')


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_reader_of_an_export_that_goes_away_is_no_error(trace: Path, kind: str) -> None:
    arguments = [sys.executable, "-m", "hotswap", "trace", "export", str(trace), "/dev/stdout", "--format", kind]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_a_lack_of_memory_is_one_line(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object) -> None:
        np.zeros((1 << 50, 16), np.uint8)

    monkeypatch.setattr("hotswap.trace.etl.read_etl", read)
    assert run(["trace", "diff", str(trace), str(trace)]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hotswap: there is not enough memory: Unable to allocate 16.0 PiB")


def test_a_page_on_standard_output_is_the_page_and_nothing_else(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["trace", "report", str(trace), "-o", "-"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert page.rstrip("\n").endswith("</html>")
