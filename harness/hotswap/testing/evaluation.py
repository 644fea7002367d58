"""The decoded trace of a test and what the swap expectations say of it, worked out once, when first needed."""

from __future__ import annotations

from functools import cached_property

from hotswap.errors import UsageError
from hotswap.swap.check_swap import refusals
from hotswap.swap.expectations import judge
from hotswap.swap.swap_trace import SwapTrace
from hotswap.swap.witnesses import SwapWitnesses
from hotswap.testing.driver import Driver
from hotswap.testing.verdict import SwapVerdict, applicable
from hotswap.trace.etl import EtlFile, parse_etl, read_etl
from hotswap.trace.expect import Verdict, format_slice
from hotswap.trace.writer import build_etl

_COMPLETE = "evidence-complete"


class Evaluation:
    """Of one driver, after its stop; UsageError before."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    @cached_property
    def etl(self) -> EtlFile:
        """The trace; without a file one that holds nothing, which proves nothing."""
        if not self.driver.stopped:
            raise UsageError("the trace is complete after driver.stop(): call that before the trace is read")
        path = self.driver.run.trace
        return read_etl(path) if path.exists() else parse_etl(build_etl([]))

    @cached_property
    def witnesses(self) -> SwapWitnesses:
        """What was seen besides the trace."""
        return self.driver._witnesses()

    @cached_property
    def _joined(self) -> SwapTrace:
        return SwapTrace(self.etl, self.witnesses, restart=self.driver._restart)

    @cached_property
    def verdict(self) -> SwapVerdict:
        """The answers of all expectations that the test gave something to ask about."""
        results = applicable(judge(self._joined), self.witnesses, load=bool(self.driver.loads))
        table = self.etl.events
        return SwapVerdict.of(results, {item.id: format_slice(table, item.slice) for item in results if item.slice})

    @cached_property
    def refusals(self) -> tuple[str, ...]:
        """One sentence for each swap that was refused."""
        return tuple(refusals(self._joined))

    @property
    def missing(self) -> str:
        """What is missing from the trace; empty when it is whole."""
        result = self.verdict.result(_COMPLETE)
        return "" if result is None or result.verdict is Verdict.PASS else result.message
