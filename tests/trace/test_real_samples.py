"""Our reader against real traces from Windows and the counts that two other decoders agree on."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dissect.util.compression import lzxpress

from hotswap.cli.main import run
from hotswap.trace import native
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.framing import BUFFER_HEADER_SIZE
from support.dissect_multiset import dissect_multiset, our_multiset
from support.real_samples import samples_folder

FOLDER = samples_folder()
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text()) if FOLDER else {}
ALL = sorted(EXPECTED)
COMPRESSED = [name for name in ALL if EXPECTED[name]["compressed_buffers"]]


def sample(name: str) -> Path:
    assert FOLDER
    return FOLDER / name


@cache
def opened(name: str) -> EtlFile:
    """Kept, since a large one takes seconds and several tests look at it."""
    return read_etl(sample(name))


def test_the_samples_are_there() -> None:
    assert FOLDER, "HOTSWAP_REQUIRE_SAMPLES=1 and no samples: set HOTSWAP_ETL_SAMPLES to their folder"
    assert len(ALL) >= 22
    assert len(COMPRESSED) >= 4


@pytest.mark.parametrize("name", ALL)
def test_the_native_kernel_and_its_twins_read_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CHOICE, "python")
    mine, twin = opened(name), read_etl(sample(name))
    assert native.describe().startswith("python")
    assert (mine.problems, mine.loss) == (twin.problems, twin.loss)
    for column in ("offset", "size", "type", "buffer"):
        assert np.array_equal(getattr(mine.frames, column), getattr(twin.frames, column))
    assert np.array_equal(mine.ticks, twin.ticks)
    assert mine.events.data[:] == twin.events.data[:]
    assert mine.kinds == twin.kinds
    for column in fields(mine.events):
        if isinstance(values := getattr(mine.events, column.name), np.ndarray):
            assert np.array_equal(values, getattr(twin.events, column.name)), column.name


def test_the_files_were_read_with_the_native_kernel() -> None:
    assert native.describe() == "native"


@pytest.mark.parametrize("name", ALL)
def test_counts_times_and_header_agree(name: str) -> None:
    etl, facts = opened(name), EXPECTED[name]
    assert len(etl.frames) == facts["events"]
    assert len(etl.buffers) == facts["buffers"]
    assert int(np.count_nonzero(etl.buffers["inflated"])) == facts["compressed_buffers"]
    per_cpu = Counter(etl.buffers["cpu"].tolist())
    assert per_cpu == {int(cpu): count for cpu, count in facts["buffers_per_cpu"].items()}
    assert etl.header_types() == dict(sorted(facts["events_by_header_type"].items(), key=lambda kv: _order(kv[0])))
    assert etl.events_per_cpu() == {int(cpu): count for cpu, count in facts["events_per_cpu"].items()}
    assert sum(etl.ticks.tolist()) % 2**64 == facts["sum_raw_ts_mod_2_64"]
    assert (etl.ticks.min(), etl.ticks.max()) == (facts["min_raw_ts"], facts["max_raw_ts"])
    assert etl.file_order_inversions == facts["file_order_inversions"]
    assert etl.loss.missing_sequence_numbers == facts["sequence_numbers_missing"]
    assert etl.problems == ()
    header = facts["logfile_header"]
    read = etl.header
    assert (read.buffer_size, read.version, read.os_build) == (
        header["BufferSize"],
        header["Version"],
        header["OsBuild"],
    )
    assert (read.perf_freq, read.start_time, read.boot_time, read.end_time) == (
        header["PerfFreq"],
        header["StartTime"],
        header["BootTime"],
        header["EndTime"],
    )
    assert (etl.loss.events_lost, etl.loss.buffers_lost) == (header["EventsLost"], header["BuffersLost"])
    assert (read.clock_type, read.mode, read.logger_name) == (
        header["ClockType"],
        header["LogFileMode"],
        header["LoggerName"],
    )
    assert read.first_tick == facts["header_event_raw_ts"]


def _order(name: str) -> int:
    from hotswap.trace.framing import HeaderType

    return HeaderType[name]


@pytest.mark.parametrize("name", ALL)
def test_tracelogging_names_and_manifest_ids_agree(name: str) -> None:
    table = opened(name).events
    counts = np.bincount(table.kind, minlength=len(table.kinds)).tolist()
    named: dict[str, int] = {}
    other: dict[str, int] = {}
    for kind, count in zip(table.kinds, counts, strict=True):
        if kind.family != "event":
            continue
        if kind.self_describing:
            key = f"{kind.provider} TL:{kind.provider_name}/{kind.name}"
            named[key] = named.get(key, 0) + count
        else:
            key = f"id={kind.event_id} v={kind.version}"
            other[key] = other.get(key, 0) + count
    rows = [row for row in EXPECTED[name]["counts"] if row["header"] in ("EVENT32", "EVENT64")]
    wanted = {f"{row['provider']} {row['key']}": row["n"] for row in rows if row["key"].startswith("TL:")}
    wanted_other: dict[str, int] = {}
    for row in rows:
        if not row["key"].startswith("TL:"):
            wanted_other[row["key"]] = wanted_other.get(row["key"], 0) + row["n"]
    assert named == wanted
    assert other == wanted_other


@pytest.mark.parametrize("name", ALL)
def test_every_tracelogging_payload_decodes(name: str) -> None:
    table = opened(name).events
    for kind in table.kinds:
        if kind.schema is not None:
            assert table.events(kind.name, kind.provider).malformed == 0
    arrow = table.to_arrow()
    assert arrow.num_rows == len(table) == EXPECTED[name]["events"]


@pytest.mark.parametrize("name", [n for n in ALL if EXPECTED[n]["events"] < 5000])
def test_dissect_reads_the_same_events(name: str) -> None:
    assert our_multiset(sample(name)) == dissect_multiset(sample(name))


def test_a_cut_real_file_keeps_what_is_whole() -> None:
    path = sample("manifest-win7-kernel-process.etl")
    data = path.read_bytes()
    whole = parse_etl(data)
    half = parse_etl(data[: len(data) // 2 + 100])
    kept = int(np.count_nonzero(whole.frames.offset + whole.frames.size <= len(data) // 2 + 100))
    assert len(half.frames) == kept
    assert not half.closed


def test_a_real_session_never_stopped_is_read_whole() -> None:
    """BuffersWritten and EndTime are zero after a bug check; everything is found by file size."""
    data = bytearray(sample("manifest-win7-kernel-process.etl").read_bytes())
    base = 72 + 32
    data[base + 0x10 : base + 0x18] = bytes(8)
    data[base + 0x24 : base + 0x28] = bytes(4)
    etl: EtlFile = parse_etl(bytes(data))
    assert len(etl.frames) == EXPECTED["manifest-win7-kernel-process.etl"]["events"]
    assert [problem.code for problem in etl.problems] == ["unclosed"]


@pytest.mark.parametrize("name", COMPRESSED)
def test_an_independent_decoder_inflates_the_same_bytes(name: str) -> None:
    data, etl = sample(name).read_bytes(), opened(name)
    # dissect is written in Python: of a large file some buffers must do.
    for buffer in etl.buffers[1 :: max(1, len(etl.buffers) // 30)]:
        stored = data[buffer["offset"] + BUFFER_HEADER_SIZE : buffer["offset"] + buffer["size"]]
        begin = int(buffer["place"]) + BUFFER_HEADER_SIZE
        ours = etl.events.data[begin : int(buffer["place"] + buffer["filled"])]
        assert ours == lzxpress.decompress(stored)


@pytest.mark.parametrize("seed", range(8))
def test_damage_to_a_real_compressed_file_costs_only_its_buffer(seed: int) -> None:
    name = "eventsource-compressed-ptr4.etl"
    whole, data, chance = opened(name), bytearray(sample(name).read_bytes()), random.Random(seed)
    buffer = chance.randrange(1, len(whole.buffers) - 1)
    start, size = int(whole.buffers["offset"][buffer]), int(whole.buffers["size"][buffer])
    at = start + (0 if seed % 2 else chance.randrange(size - 80))
    data[at : at + 80] = chance.randbytes(80)
    damaged = parse_etl(bytes(data))
    assert damaged.problems
    others = Counter(whole.ticks[whole.frames.buffer != buffer].tolist())
    assert others - Counter(damaged.ticks.tolist()) == Counter()


@pytest.mark.parametrize("name", ALL)
def test_trace_info_says_what_is_expected(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command as it is called, but for the process around it."""
    assert run(["trace", "info", str(sample(name)), "--json", "--quiet"]) == 0
    info, facts = json.loads(capsys.readouterr().out), EXPECTED[name]
    assert (info["events"], info["buffers"]) == (facts["events"], facts["buffers"])
    assert info["compressed_buffers"] == facts["compressed_buffers"]
    assert info["events_lost"] == facts["logfile_header"]["EventsLost"]
    assert info["buffers_lost"] == facts["logfile_header"]["BuffersLost"]
    assert info["missing_sequence_numbers"] == facts["sequence_numbers_missing"]
    assert info["timestamp_sum"] == facts["sum_raw_ts_mod_2_64"]
    assert info["file_order_inversions"] == facts["file_order_inversions"]
    assert info["kinds"] == facts["counts"]
    assert info["header_types"] == facts["events_by_header_type"]
    assert info["events_per_cpu"] == facts["events_per_cpu"]
    assert info["problems"] == []
