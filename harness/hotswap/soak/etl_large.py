"""Soak `etl-large`: a trace far larger than what may be kept in memory, read part by part by every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hotswap.bench.etl_made_up import write_made_up
from hotswap.cli.progress import Progress, duration
from hotswap.errors import UsageError
from hotswap.soak.result import SoakResult
from hotswap.trace import native

MEMORY_BOUND = 1 << 30
_EVENT_BYTES = 203
"""Of the file, for each made-up event."""
_SPARE = 1.5
"""As many times the file's size must be free: what commands write is much smaller."""
_GROUPS = "select event, count(*) as n, max(tick) as last from events group by event order by n desc"


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the file: what is run, and how many events its output says that there are."""

    name: str
    command: Callable[[Path, Path], Sequence[str]]
    events: Callable[[str, Path], int]


def _hotswap(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "hotswap", *map(str, arguments)]


READINGS = (
    Reading(
        "decode",
        lambda file, _: [sys.executable, "-m", "hotswap.soak.etl_decode", str(file)],
        lambda output, _: int(json.loads(output)["decoded"]),
    ),
    Reading(
        "info",
        lambda file, _: _hotswap("trace", "info", file, "--json", "-", "--quiet"),
        lambda output, _: int(json.loads(output)["events"]) - 1,
    ),
    Reading(
        "stats",
        lambda file, _: _hotswap("trace", "stats", file, "-p", "HotSwap.Bench", "--json", "-", "--quiet"),
        lambda output, _: sum(row["events"] for row in json.loads(output)["rows"]),
    ),
    Reading(
        "show",
        lambda file, _: _hotswap("trace", "show", file, "--tid", "100", "--limit", "10", "--quiet"),
        lambda output, _: -len(output.splitlines()),
    ),
    Reading(
        "export",
        lambda file, folder: _hotswap("trace", "export", file, folder / "out.parquet", "-e", "Tick", "--quiet"),
        lambda _, folder: 5 * _parquet_rows(folder / "out.parquet"),
    ),
    Reading(
        "sql",
        lambda file, _: _hotswap("trace", "sql", file, _GROUPS, "--json", "-", "--quiet"),
        lambda output, _: sum(n for event, n, _ in json.loads(output)["rows"] if event in ("Work", "Step", "Tick")),
    ),
)


def _parquet_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def add_options(parser: ArgumentParser) -> None:
    """Their names on the command line."""
    names = [reading.name for reading in READINGS]
    parser.add_argument("--gigabytes", type=float, default=10.0, metavar="N", help="size of the file [10]")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where to write it [the temporary folder]")
    parser.add_argument("--only", action="append", choices=names, help="only this reading; may be repeated")


def run(options: Namespace, progress: Progress) -> SoakResult:
    """Write the file, read it in each way, and compare how many events were found. Too much memory is a problem."""
    if options.gigabytes <= 0:
        raise UsageError(f"gigabytes is {options.gigabytes:g}; it must be more than 0")
    size = round(options.gigabytes * 1e9)
    home = options.folder or Path(tempfile.gettempdir())
    if not home.is_dir():
        raise UsageError(f"{home} is no folder")
    free = shutil.disk_usage(home).free
    if free < size * _SPARE:
        text = f"{home} has {free / 1e9:.1f} GB free, and {size * _SPARE / 1e9:.1f} GB are needed"
        raise UsageError(f"{text}; give another --folder, or less --gigabytes")
    result, begun = SoakResult("etl-large"), monotonic()
    with tempfile.TemporaryDirectory(prefix="hotswap-etl-large-", dir=home) as folder:
        file = Path(folder) / "large.etl"
        progress(f"write {size / 1e9:g} GB")
        events = write_made_up(file, size // _EVENT_BYTES)
        size = file.stat().st_size
        result.lines.append(f"{size / 1e9:.2f} GB, {events:,} events, {native.describe()} kernel")
        for reading in READINGS:
            if not options.only or reading.name in options.only:
                progress(f"read: {reading.name}")
                _read(result, reading, file, Path(folder), events)
    result.figures |= {"bytes": size, "events": events, "kernel": native.describe(), "memory_bound": MEMORY_BOUND}
    result.seconds = monotonic() - begun
    return result


def _read(result: SoakResult, reading: Reading, file: Path, folder: Path, events: int) -> None:
    begun = monotonic()
    with (folder / "output").open("w+", encoding="utf-8") as output, (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(reading.command(file, folder), stdout=output, stderr=errors, text=True)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds, peak = monotonic() - begun, usage.ru_maxrss * 1024
        output.seek(0)
        errors.seek(0)
        said, complaint = output.read(), errors.read().strip()
    name = reading.name
    facts = {
        "seconds": round(seconds, 2),
        "peak_bytes": peak,
        "events_per_second": round(events / seconds),
    }
    result.figures.setdefault("readings", {})[name] = facts
    rate = f"{events / seconds / 1e6:.2f} M events/s, {file.stat().st_size / seconds / 1e6:.0f} MB/s"
    result.lines.append(f"{name:<7} {duration(seconds):>9}, {rate}, at most {peak / 2**20:.0f} MiB of memory")
    if process.returncode:
        result.problems.append(f"{name} ended with {process.returncode}: {complaint.splitlines()[-1:] or 'no word'}")
        return
    found = reading.events(said, folder)
    # What `show` prints is not all: its lines are counted, with head and tail.
    if found != events and not (name == "show" and found == -12):
        result.problems.append(f"{name} found {found:,} of {events:,} events")
    if peak > MEMORY_BOUND:
        result.problems.append(f"{name} took {peak / 2**20:.0f} MiB of memory; {MEMORY_BOUND >> 20} are the bound")
