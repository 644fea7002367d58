"""`ci/bench`: its rows, its exit codes, and that what it measures is what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.bench import __main__ as command
from hotswap.bench import agent, etl, etl_made_up, etl_others, export, machine, report, rules, swap, transports
from hotswap.bench.table import compare
from hotswap.trace import native
from hotswap.trace.etl import read_etl

ROW = {"what", "ours", "other", "unit", "ratio", "aim", "met"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hotswap.bench", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nonsense"], "invalid choice: 'nonsense' (choose from 'agent', 'etl', 'export', 'machine', 'report', '"),
        ([], "required: name"),
        (["swap", "--faster"], "unrecognized arguments: --faster"),
        (["swap", "--json", "/no/such/folder/x.json"], "cannot be written"),
    ],
)
def test_bad_usage_is_one_line_and_found_before_anything_is_measured(arguments: list[str], why: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ci/bench: ")
    assert why in line


def test_the_swap_benchmark_compares_hot_swap_with_restart(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(swap, "LOADS", (swap.Load(200, 1),))
    monkeypatch.setitem(command.BENCHMARKS, "swap", lambda: swap.run(swaps=2))
    target = tmp_path / "swap.json"
    assert command.main(["swap", "--json", str(target)]) == 0
    content = json.loads(target.read_text())
    assert content.keys() == {"schema", "rows", "environment"}
    assert all(row.keys() == ROW for row in content["rows"])
    assert content["environment"]["cpus"] == os.cpu_count()
    assert content["environment"]["kernel"] == native.describe()
    compared = [row for row in content["rows"] if row["other"] is not None]
    assert compared
    for row in compared:
        assert row["ratio"] == pytest.approx(row["other"] / row["ours"], rel=0.05)
        assert row["met"] is (row["ratio"] >= float(row["aim"].removesuffix("x")))
    first = compared[0]
    assert "stall to release" in first["what"]
    assert first["unit"] == "µs"
    assert first["ours"] > 0
    parts = {row["what"].rpartition(": ")[2] for row in content["rows"]}
    assert parts >= {"stall to drained", "drained to switched", "switched to released"}
    assert f"ci/bench swap (trace kernel: {native.describe()})" in capsys.readouterr().out
    states = {json.loads((run / "run.json").read_text())["verdict"] for run in runs.iterdir()}
    assert states == {"pass"}, "a figure of a run that did not pass"


def test_the_agent_benchmark_compares_calls_with_process_starts(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BENCHMARKS, "agent", lambda: agent.run(calls=20, starts=2))
    assert command.main(["agent", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row.keys() for row in content["rows"]] == [ROW, ROW]
    assert content["environment"]["calls"] == 20
    assert all(row["ours"] < row["other"] for row in content["rows"])
    assert not runs.exists(), "no run folder without a verdict"


def test_a_fork_is_measured_beside_a_boot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(command.BENCHMARKS, "machine", lambda: machine.run(1, 1, 1, 1))
    assert command.main(["machine", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row for row in content["rows"]}
    assert all(row.keys() == ROW and row["ours"] > 0 for row in content["rows"])
    compared = rows["fork to agent against a cold boot"]
    assert compared["ratio"] == pytest.approx(compared["other"] / compared["ours"], rel=0.05)
    assert rows["memory of one more fork"]["met"] is (rows["memory of one more fork"]["ours"] <= 150)
    assert content["environment"]["accelerator"]


def test_each_way_to_the_agent_is_measured_beside_the_plain_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    effort = transports.Effort(rounds=1, transfers=1, large=20_000)
    monkeypatch.setitem(command.BENCHMARKS, "transports", lambda: transports.run(effort, effort))
    assert command.main(["transports", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert all(row.keys() == ROW and row["ours"] > 0 and row["unit"] == "ms" for row in content["rows"])
    rows = {tuple(row["what"].split(": ")): row for row in content["rows"]}
    measured = {way: {what for one, what in rows if one == way} for way, _ in rows}
    all_of_it = {"round trip", "1 KB out", "20 KB in", "20 KB out"}
    files_only = {"20 KB in", "20 KB out"}
    ways = ("pipe", "SSH", "WinRM", "QEMU, virtio-serial", "QEMU, COM", "QEMU, SSH", "QEMU, WinRM")
    assert measured == {"SFTP": files_only, **dict.fromkeys(ways, all_of_it)}
    compared = {key for key, row in rows.items() if row["other"] is not None}
    plain = {(way, what) for way in ("SSH", "QEMU, SSH") for what in all_of_it}
    # pywinrm's run_cmd takes no input.
    plain |= {(way, what) for way in ("WinRM", "QEMU, WinRM") for what in all_of_it - {"20 KB in"}}
    assert compared == plain
    for key in compared:
        assert rows[key]["ratio"] == pytest.approx(rows[key]["other"] / rows[key]["ours"], rel=0.05)
    assert content["environment"]["standin"]["bytes"] == [1000, 20_000]


def test_a_row_says_whether_its_aim_is_met() -> None:
    assert compare("x", [1, 2, 30], [200, 300, 100], "µs", 100).met is True
    assert compare("x", [1, 3, 30], [200, 250, 100], "µs", 100).met is False


def test_the_report_benchmark_opens_reports_and_zooms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BENCHMARKS, "report", lambda: report.run(sizes=(3_000,)))
    assert command.main(["report", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert all(row.keys() == ROW for row in content["rows"])
    told = {row["what"].partition(": ")[2]: row for row in content["rows"]}
    assert told["open, until drawn"]["aim"] == "<= 2000 ms"
    assert told["draw a frame while zooming, median"]["aim"] == "<= 16 ms"
    assert all(row["ours"] > 0 for row in content["rows"])
    for row in content["rows"]:
        if row["aim"]:
            assert row["met"] is (row["ours"] <= float(row["aim"].split()[1]))
    assert content["environment"]["browser"].startswith(("Chrome", "Headless"))


def test_exports_are_measured_beside_what_others_write(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BENCHMARKS, "export", lambda: export.run(events=600, turns=1))
    assert command.main(["export", "--json"]) == 0
    perfetto, chrome, compared = json.loads(capsys.readouterr().out)["rows"]
    assert perfetto["what"].startswith("600 events to Perfetto")
    assert all(row["ours"] > 0 and row["other"] > 0 for row in (perfetto, chrome))
    assert compared["other"] is None


def test_traces_are_read_beside_other_readers_and_beside_the_limits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(command.BENCHMARKS, "etl", lambda: etl.run(wanted=600, others=300, compressed=300))
    assert command.main(["etl", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    rows = content["rows"]
    kernels = ("native", "python") if content["environment"]["kernel"] == "native" else ("python",)
    for kernel in kernels:
        assert sum(f"{kernel} kernel" in row["what"] for row in rows) >= 3
    assert all(row["ours"] > 0 for row in rows)
    assert {row["unit"] for row in rows} == {"M events/s", "MB/s", "MB/s inflated"}


def test_a_made_up_file_is_read_whole_by_us_and_by_dissect(tmp_path: Path) -> None:
    path = tmp_path / "made up.etl"
    # Three turns of what is repeated.
    assert etl_made_up.write_made_up(path, 45_000) == 60_000
    file = read_etl(path)
    assert (file.recorded, file.problems, file.loss.any, file.closed) == (60_000, (), False, True)
    assert file.events.events("Work")["Worker"].max() == 63
    assert len(set(file.events.tick[1:].tolist())) == 60_000
    assert etl_others.dissect_headers(path)["events"] == 60_001


def test_a_made_up_file_is_the_same_compressed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.etl", tmp_path / "packed.etl"
    etl_made_up.write_made_up(plain, 3000)
    inflated = etl_made_up.write_compressed(plain, packed)
    one, other = read_etl(plain), read_etl(packed)
    assert (other.recorded, other.problems, other.closed) == (3000, (), True)
    assert other.events.tick.tolist() == one.events.tick.tolist()
    assert inflated == int(other.buffers["filled"][1:].sum())
    assert packed.stat().st_size < plain.stat().st_size / 2


def test_rules_are_measured_beside_loops_that_agree_with_them() -> None:
    rows, details = rules.run(20_000, 1_000)
    assert details == {"events": 20_000, "events read one by one": 1_000}
    assert len(rows) == 3 * len(rules._CASES)
    assert all(row.ours > 0 for row in rows)
    assert {row.unit for row in rows} == {"s", "M events/s"}
    assert all(row.ratio is not None and row.ratio > 1 for row in rows if "reads events" in row.what)
