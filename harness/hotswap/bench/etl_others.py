"""The other readers of `.etl` files, each in a process of its own: `python -m hotswap.bench.etl_others READER FILE`.

Prints what it read and the seconds it took, imports not counted, as JSON. dissect.etl is AGPL and never imported by
shipped code, but a development dependency, as etl-parser is.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def dissect_headers(path: Path) -> dict[str, Any]:
    """dissect.etl: of every EVENT_HEADER event all that our header columns say of it. It reads lazily, so each is asked
    for; the sums are for comparison with ours."""
    etl: Any = importlib.import_module("dissect.etl.etl")
    event_header = importlib.import_module("dissect.etl.headers.event").EventHeader
    begun, events, providers = perf_counter(), 0, set[bytes]()
    sums = [0] * 9
    with path.open("rb") as stream:
        file = etl.ETL(stream)
        for buffer in file.buffers():
            cpu = buffer.header.ProcessorIndex
            for record in buffer:
                events += 1
                header = record.header
                if not isinstance(header, event_header):
                    continue
                raw = header.header
                providers.add(bytes(raw.ProviderId))
                values = (
                    file.get_filetime_for_event(raw.TimeDelta), cpu, raw.ProcessId, raw.ThreadId, raw.Id, raw.Version,
                    raw.OpCode, raw.Level, raw.Keywords,
                )  # fmt: skip
                sums = [total + value for total, value in zip(sums, values, strict=True)]
    seconds = perf_counter() - begun
    # Its times are made with floating point numbers, so they are not compared.
    return {"events": events, "failed": 0, "seconds": seconds, "sums": sums[1:], "providers": len(providers)}


def etl_parser_full(path: Path) -> dict[str, Any]:
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
    return {"events": read[0], "failed": read[1], "seconds": perf_counter() - begun}


READERS = {"dissect": dissect_headers, "etl-parser": etl_parser_full}

if __name__ == "__main__":
    print(json.dumps(READERS[sys.argv[1]](Path(sys.argv[2]))))
