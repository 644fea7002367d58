"""What other readers see in a file, each in a process of its own: `python foreign_readers.py READER FILE`.

dissect.etl is AGPL, and never imported by shipped code. Prints one line per event in file order. dissect.etl: class of
the header, processor, tick, pid, tid (`-` where it has none) and the bytes as hex; etl-parser: kind, tick, pid, tid and
the bytes of payload. It skips the first buffer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def foreign_events(reader: str, path: Path) -> list[list[str]]:
    """The events that `dissect` or `etl-parser` reads, as words."""
    command = [sys.executable, __file__, reader, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def _dissect(path: str) -> None:
    from dissect.etl.etl import ETL

    with Path(path).open("rb") as stream:
        etl, size, index = ETL(stream), Path(path).stat().st_size, 0
        # It goes by the number of buffers that were written, which in a circular file is not that of those there.
        while (buffer := etl.buffer(index)).next_buffer <= size:
            for record in buffer:
                header = record.header
                names = ("time_delta", "process_id", "thread_id")
                # It knows of error headers that they exist.
                known = [None if header._header_type is None else getattr(header, name, None) for name in names]
                words = [type(header).__name__, buffer.header.ProcessorIndex & 0x7FF]
                words += ["-" if value is None else int(value) for value in known]
                print(*words, bytes(header.data[: header.size]).hex())
            index += 1
            if buffer.next_buffer == size:
                break


def _etl_parser(path: str) -> None:
    from etl.etl import IEtlFileObserver, build_from_stream

    def tell(kind: str, head: Any, tick: int, payload: bytes) -> None:
        print(kind, tick, head.get("process_id", "-"), head.get("thread_id", "-"), len(payload))

    class Observer(IEtlFileObserver):
        def on_event_record(self, event: Any) -> None:
            tell("event", event.source.event_header, event.get_timestamp(), event.source.user_data)

        def on_trace_record(self, event: Any) -> None:
            tell("classic", event.source.event_header, event.source.event_header.timestamp, event.source.user_data)

        def on_perfinfo_trace(self, event: Any) -> None:
            tell("perfinfo", {}, event.get_timestamp(), event.source.mof_data)

        def on_system_trace(self, event: Any) -> None:
            head = event.source.system_header
            tell("system", head, head.system_time, event.source.mof_data)

        def on_win_trace(self, event: Any) -> None:
            tell("message", event.source.event_header, 0, event.source.user_data)

    build_from_stream(Path(path).read_bytes()).parse(Observer())


if __name__ == "__main__":
    {"dissect": _dissect, "etl-parser": _etl_parser}[sys.argv[1]](sys.argv[2])
