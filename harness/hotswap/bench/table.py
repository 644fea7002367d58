"""Rows of a benchmark, as JSON and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from hotswap.cli.output import Terminal
from hotswap.trace import native


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of ours and of the other, the ratio other / ours, and what was aimed at."""

    what: str
    ours: float
    other: float | None
    unit: str
    ratio: float | None
    aim: str
    met: bool | None


def compare(what: str, ours: Sequence[float], other: Sequence[float], unit: str, aim: float) -> Row:
    """How many times smaller ours is than the other: medians, aim as a factor."""
    mine, theirs = median(ours), median(other)
    ratio = theirs / mine
    return Row(what, round(mine, 2), round(theirs, 2), unit, round(ratio, 2), f"{aim:g}x", ratio >= aim)


def single(what: str, ours: Sequence[float], unit: str) -> Row:
    """A median without an alternative."""
    return Row(what, round(median(ours), 2), None, unit, None, "", None)


def environment() -> dict[str, Any]:
    """The machine that was measured on, and which kernel read the traces where a row does not name another."""
    return {
        "cpus": os.cpu_count(),
        "host": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "kernel": native.describe(),
    }


def to_json(rows: Sequence[Row], more: dict[str, Any]) -> dict[str, Any]:
    """The contract of `ci/bench --json`."""
    return {"schema": 1, "rows": [asdict(row) for row in rows], "environment": {**environment(), **more}}


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the rows."""
    table = Table(title=f"{title} (trace kernel: {native.describe()})", title_justify="left")
    for name in ("what", "ours", "other", "unit", "ratio", "aim", "met"):
        table.add_column(name, justify="left" if name in ("what", "unit") else "right")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        cells = (row.what, row.ours, row.other, row.unit, row.ratio, row.aim, met)
        table.add_row(
            *("" if cell is None else f"{cell:,}" if isinstance(cell, float) else str(cell) for cell in cells)
        )
    Terminal().print(table)
