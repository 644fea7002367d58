"""The real trace processor, one for the tests of this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.trace_processor import TraceProcessor


@pytest.fixture(scope="session")
def processor() -> Iterator[TraceProcessor]:
    with TraceProcessor() as processor:
        yield processor
