"""The other readers of `.etl` files, each in a process of its own: `python -m hotswap.bench.etl_others READER FILE`.

Prints what it read and the seconds it took, imports not counted, as JSON. dissect.etl is AGPL and never imported by
shipped code, but a development dependency; etl-parser has no wheel and is used when it is there.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def dissect_headers(path: Path) -> tuple[int, int, float]:
    """dissect.etl: the header of every event. Events, those it failed on, seconds."""
    etl: Any = importlib.import_module("dissect.etl.etl")
    begun, events = perf_counter(), 0
    with path.open("rb") as stream:
        for record in etl.ETL(stream):
            events += 1
            _ = record.header
    return events, 0, perf_counter() - begun


def etl_parser_full(path: Path) -> tuple[int, int, float]:
    """etl-parser: every event, with its TraceLogging payload."""
    reader: Any = importlib.import_module("etl.etl")
    read = [0, 0]

    class Observer(reader.IEtlFileObserver):  # type: ignore[misc]
        def on_event_record(self, event: Any) -> None:
            read[0] += 1
            try:
                event.parse_tracelogging()
            except Exception:
                # It raises whatever comes up for what it does not know.
                read[1] += 1

        def _other(self, _: Any) -> None:
            read[0] += 1

        on_system_trace = on_perfinfo_trace = on_trace_record = on_win_trace = _other

    begun = perf_counter()
    reader.build_from_stream(path.read_bytes()).parse(Observer())
    return read[0], read[1], perf_counter() - begun


READERS = {"dissect": dissect_headers, "etl-parser": etl_parser_full}

if __name__ == "__main__":
    events, failed, seconds = READERS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"events": events, "failed": failed, "seconds": seconds}))
