"""A trace file to ask rules of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from hotswap.trace.etl import EtlFile, read_etl
from hotswap.trace.rules.answer import Answer
from hotswap.trace.rules.evidence import Evidence, Loss
from hotswap.trace.rules.matched import View
from hotswap.trace.rules.rule import Rule
from hotswap.trace.schemas.files import NOTHING_GIVEN, GivenSchemas
from hotswap.trace.table import EventTable


class TraceFile:
    """An `.etl` and what is missing from it. `assert trace.holds(rule)`."""

    def __init__(self, etl: EtlFile, losses: Iterable[Loss] = ()) -> None:
        self.etl = etl
        self._losses = tuple(losses)

    @property
    def table(self) -> EventTable:
        """All events, as columns."""
        return self.etl.events

    @cached_property
    def view(self) -> View:
        """The trace as rules look at it."""
        return View(self.etl.events, Evidence.of(self.etl).plus(self._losses))

    def __rules_view__(self) -> View:
        return self.view

    def holds(self, rule: Rule) -> Answer:
        """Ask a rule; the answer is true when it holds, and explains itself when it does not."""
        return rule.answer(self.view)

    def __repr__(self) -> str:
        return f"<trace {self.etl.path}>"


def open_trace(path: Path | str, *, losses: Iterable[Loss] = (), given: GivenSchemas = NOTHING_GIVEN) -> TraceFile:
    """Read an `.etl`. UsageError for a file that is none, or of which no event can be read.

    `losses` are those that only others know of, `given` describes events that the trace does not (`read_schemas`).
    """
    return TraceFile(read_etl(Path(path), given).need_events(), losses)
