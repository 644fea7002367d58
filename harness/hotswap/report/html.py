"""`report.html`: one file, offline. Verdict and why, the timeline, swaps, latency, the expectations and their proof."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from hotswap.report.data import page_data
from hotswap.report.evidence import evidence_view
from hotswap.report.facts import environment_facts
from hotswap.report.format import count, duration, seconds
from hotswap.report.latency import latency_view
from hotswap.report.model import TraceModel
from hotswap.report.packing import json_for_script
from hotswap.report.slice_view import SliceView, slice_view
from hotswap.report.updates import UpdateView, updates_view
from hotswap.swap.expectations import SWAP_EXPECTATIONS
from hotswap.swap.result import SwapResult
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.trace.etl import EtlFile
from hotswap.trace.expect import Verdict

_SHOWN = 4
"""Expectations that did not hold and are shown at the top; the others are folded away there."""
STYLES = ("theme.css", "page.css", "figures.css", "timeline.css", "print.css")
COMMON = (
    "codec.js", "words.js", "events.js", "view.js", "theme.js", "lanes.js", "painter.js", "find.js", "minimap.js",
    "details.js", "timeline.js", "input.js", "table.js", "page.js",
)  # fmt: skip
SCRIPTS = (
    *COMMON, "swap/model.js", "swap/find.js", "swap/details.js", "swap/draw.js", "swap/marks.js", "swap/timeline.js",
    "swap/table.js", "swap/page.js",
)  # fmt: skip
"""In this order; they share one function scope."""


@dataclass(frozen=True, slots=True)
class ExpectationView:
    """One expectation with its answer. `proof` is the text of its slice, one line an event, the first a heading."""

    id: str
    verdict: Verdict
    statement: str
    clauses: tuple[str, ...]
    message: str
    proof: tuple[str, ...]
    picture: SliceView | None
    events: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure."""

    label: str
    value: str
    note: str = ""


def write_report(result: SwapResult, etl: EtlFile, witnesses: SwapWitnesses | None) -> str:
    """The report as HTML. The trace may be empty and the run may have ended early: what there is, is shown."""
    model = TraceModel(etl, witnesses)
    page = page_data(model, result.expectations)
    updates = updates_view(result, model)
    expectations = _expectations(result, model)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            result=result,
            figures=_figures(result, model, updates),
            updates=updates,
            expectations=expectations,
            **_open_questions(result, expectations),
            latency=latency_view(model),
            model=model,
            facts=environment_facts(result),
            steps=_steps(result),
            seconds=seconds,
            count=count,
            command=_command(result),
            evidence=evidence_view(result.run_folder),
            meta=Markup(json_for_script(page.meta)),
            columns=page.columns,
            **page_parts(STYLES, SCRIPTS),
        )
    )


@cache
def templates() -> Environment:
    """The templates of all reports."""
    return Environment(
        loader=PackageLoader("hotswap.report", "templates"),
        autoescape=select_autoescape(["html", "j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_parts(styles: tuple[str, ...], scripts: tuple[str, ...]) -> dict[str, str]:
    """`styles`, `script` and `script_hash` for a template, of assets in this order."""
    script = _script(scripts)
    return {
        "styles": Markup("\n".join(_asset(name) for name in styles)),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    }


def _asset(name: str) -> str:
    return files("hotswap.report").joinpath("assets", name).read_text("utf-8")


@cache
def _script(names: tuple[str, ...]) -> str:
    body = "\n".join(_asset(name) for name in names)
    return f'\n(() => {{\n"use strict";\n{body}\n}})();\n'


def _expectations(result: SwapResult, model: TraceModel) -> list[ExpectationView]:
    known = {expectation.id: expectation for expectation in SWAP_EXPECTATIONS}
    views = []
    for item in result.expectations:
        asked = known.get(item.id)
        views.append(
            ExpectationView(
                item.id,
                item.verdict,
                asked.statement if asked else "",
                tuple(asked.clauses) if asked else (),
                item.message,
                tuple(result.slices.get(item.id, "").splitlines()),
                slice_view(model, item.slice),
                len(item.slice),
            )
        )
    return views


def _open_questions(result: SwapResult, views: list[ExpectationView]) -> dict[str, list[ExpectationView]]:
    """What did not hold: first what decided the verdict, and folded away what only follows from it."""
    unmet = [view for view in views if view.verdict is not Verdict.PASS]
    deciding = [view for view in unmet if view.verdict is result.verdict][:_SHOWN] or unmet[:_SHOWN]
    return {"open_questions": deciding, "further_questions": [view for view in unmet if view not in deciding]}


def _figures(result: SwapResult, model: TraceModel, updates: tuple[UpdateView, ...]) -> list[Figure]:
    refused = sum(view.outcome == "refused" for view in updates)
    failed = sum(view.outcome == "failed" for view in updates)
    notes = [f"{number} {word}" for number, word in ((refused, "refused"), (failed, "failed")) if number]
    held = [(view.hold_us, view) for view in updates if view.hold_us is not None]
    longest = max(held, key=lambda pair: pair[0] or 0.0, default=None)
    table = model.table
    span = (int(table.tick[-1]) - int(table.tick[0])) / table.frequency if model.trace.etl.recorded else 0.0
    return [
        Figure("Events", count(result.events), f"in {seconds(span)} of trace" if span else "no event was traced"),
        Figure("Signals", count(result.signals)),
        Figure("Iterations", count(result.iterations), f"by {len(model.workers)} workers" if model.workers else ""),
        Figure("Updates", count(len(updates)), ", ".join(notes)),
        Figure(
            "Longest hold",
            duration(longest[0]) if longest else "none",
            f"swap {longest[1].swap}, v{longest[1].from_version} → v{longest[1].to_version}"
            if longest
            else "no call had to wait",
        ),
    ]


def _steps(result: SwapResult) -> list[tuple[str, float, float]]:
    """(name, seconds, percent of the longest)."""
    longest = max(result.steps.values(), default=0.0)
    return [(name, taken, 100 * taken / longest if longest else 0.0) for name, taken in result.steps.items()]


def _command(result: SwapResult) -> str:
    command = result.environment.get("command")
    return command if isinstance(command, str) else ""
