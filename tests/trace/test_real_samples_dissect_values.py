"""Fields of the kernel's events as dissect.etl decodes them, from layouts of its own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from uuid import UUID

import pytest

from hotswap.trace.etl import read_etl
from support.dissect_values import dissect_values
from support.real_samples import samples_folder

FOLDER = samples_folder() or Path()
ABSENT = {"TimeZoneInformation", "SessionNameString", "LogFileNameString"}
"""Fields of the file's header that have other names here, or are split."""


@pytest.mark.parametrize(
    ("name", "events", "values"),
    [
        ("kernel-shutdown-perfdiag", 16_882, 235_487),
        ("diaghub-kernel-4cpu", 15_452, 216_173),
        ("classic-image-ptr4-v2", 27, 332),
        ("tl-rust-tracing-merged", 4, 38),
    ],
)
def test_dissect_reads_the_same_values(name: str, events: int, values: int) -> None:
    table = read_etl(FOLDER / f"{name}.etl").events
    rows = defaultdict(list)
    for row, key in enumerate(zip(table.tick.tolist(), table.payload_length.tolist(), strict=True)):
        rows[key].append(row)
    theirs = dissect_values(FOLDER / f"{name}.etl")
    assert len(theirs) == events
    compared = 0
    for tick, length, fields in theirs:
        wanted = {key: value for key, value in fields.items() if key not in ABSENT}
        found = [_plain(table.row(row)["fields"]) for row in rows[tick, length]]
        ours = next((each for each in found if each.items() >= wanted.items()), None)
        assert ours is not None, (tick, wanted, found)
        compared += len(wanted)
    assert compared == values


def _plain(fields: object) -> dict[str, object]:
    """With identifiers as dissect has them."""
    assert isinstance(fields, dict)
    return {name: _bytes(value) if name in ("PartitionId", "ParentId") else value for name, value in fields.items()}


def _bytes(text: str) -> str:
    return UUID(text).bytes_le.hex()
