"""`report.html`: one file, offline. Verdict and why, the swaps, the expectations with the events behind a failure."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.result import SwapResult

_PHASES = (
    ("hold", "first call held to release"),
    ("drain", "stall to the last call leaving"),
    ("switch", "drained to pointers switched"),
    ("release", "switched to calls going on"),
    ("load", "loading the new image"),
    ("unload", "unloading the old image"),
    ("total", "request to answer"),
)


def write_report(result: SwapResult) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=PackageLoader("hotswap.report", "templates"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        result=result,
        phases=result.phases(),
        phase_names=_PHASES,
        described={expectation.id: expectation for expectation in SWAP_EXPECTATIONS},
    )
