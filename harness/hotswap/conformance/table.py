"""The conformance table for people: on a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from hotswap.conformance.clauses import SOURCES, clauses
from hotswap.conformance.result import ClauseResult, Report, Result

_STYLES: Mapping[Result, str] = {Result.PASS: "cyan", Result.FAIL: "bold red", Result.NOT_SHOWN: "yellow"}
_COLUMNS = ("clause", "source", "runtime", "machine", "result", "reason")


def terminal_table(report: Report) -> Table:
    """One line a clause; what is no pass says why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=name != "reason", overflow="fold")
    for row in report.clauses:
        cells = [escape(cell) for cell in _cells(row)]
        style = _STYLES[row.result]
        table.add_row(*cells[:4], f"[{style}]{cells[4]}[/]", cells[5])
    return table


def markdown(report: Report) -> str:
    """The table as a page of its own, with the statements and what the source tags mean."""
    tags = {tag for row in report.clauses for tag in row.clause.source.split("/")}
    lines = [
        "# Conformance to the DriverProxy contract",
        "",
        f"Made by `hotswap conformance --markdown`. Machine `{report.machine}`, runtime `{report.runtime}`: "
        f"{report.summary}.",
        "",
        "| Clause | Source | Statement | Runtime | Machine | Result | Reason |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report.clauses:
        clause, source, runtime, machine, result, reason = (_markdown_cell(cell) for cell in _cells(row))
        statement = _markdown_cell(row.clause.statement)
        lines.append(f"| {clause} | {source} | {statement} | {runtime} | {machine} | {result} | {reason} |")
    lines += ["", "Sources: " + "; ".join(f"{tag}: {text}" for tag, text in SOURCES.items() if tag in tags) + ".", ""]
    return "\n".join(lines)


def not_shown(machine: str) -> str:
    """The clauses that a machine kind cannot show, with the reasons: what the README says of it. No guest is asked."""
    rows = [(clause, clause.reason(machine)) for clause in clauses().values()]
    lines = [f"| {clause.id} | {_markdown_cell(clause.statement)} | {reason} |" for clause, reason in rows if reason]
    return "\n".join(["| Clause | Statement | Why it cannot be shown |", "|---|---|---|", *lines])


def _cells(row: ClauseResult) -> tuple[str, str, str, str, str, str]:
    cannot = row.result is Result.NOT_SHOWN and not row.is_gap
    reason = f"cannot be shown here: {row.reason}" if cannot else row.reason
    return row.clause.id, row.clause.source, row.runtime, row.machine, str(row.result), " ".join(reason.split())


def _markdown_cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
