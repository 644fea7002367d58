"""Real traces, written again by our writer from their tables: equal in every column and every byte of payload."""

from __future__ import annotations

import pytest

from hotswap.trace.etl import read_etl
from hotswap.trace.writer import Session
from support.equal_tables import again, assert_equal
from support.real_samples import samples_folder


@pytest.mark.parametrize("name", ["tl-rust-tracing-merged", "eventsource-compressed-ptr4", "manifest-win7-http-4cpu"])
def test_a_real_trace_comes_back_equal(name: str) -> None:
    folder = samples_folder()
    assert folder is not None
    etl = read_etl(folder / f"{name}.etl")
    header = etl.header
    session = Session(
        processors=header.processors,
        frequency=header.perf_freq,
        first_tick=header.first_tick,
        start_time=header.start_time,
        buffer_size=1 << 17,
    )
    assert_equal(etl.events, again(etl.events, session))
